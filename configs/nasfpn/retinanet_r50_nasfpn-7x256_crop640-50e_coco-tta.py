# R-50, 7 @ 256 at 640x640; `mim test ... --tta` tests at three sizes, each flipped too.
_base_ = './retinanet_r50_nasfpn-7x256_crop640-50e_coco.py'

tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100))
tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='mmdet.Resize', scale=scale, keep_ratio=True)
             for scale in ((512, 512), (640, 640), (768, 768))],
            [dict(type='mmdet.RandomFlip', prob=1.), dict(type='mmdet.RandomFlip', prob=0.)],
            [dict(type='mmdet.LoadAnnotations', with_bbox=True)],
            [dict(type='mmdet.PackDetInputs',
                  meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
                             'flip_direction'))],
        ]),
]
# The sizes differ, so pad each to whole strides instead of to 640.
model = dict(data_preprocessor=dict(pad_size_divisor=128))
