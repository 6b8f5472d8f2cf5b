# The proxy task for 15 cells on P3 to P6 (section 4.3) on a CPU: MobileNetV2 of a quarter of its width, 3 @ 48,
# on generated shapes of 128x128 pixels. A trial takes about two minutes on one core.
_base_ = '../retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_7e_shapes.py'

# Six of the eleven intermediate cells are on P4, so that the paper's two Lite models count within 10% of its
# FLOPs with any pyramid of this space.
search_space = dict(
    min_level=3, max_level=6, num_intermediate=11,
    intermediate_levels=[[4], [4, 5, 6], [4], [4, 5, 6], [4], [4, 5, 6], [4], [4, 5, 6], [4], [4, 5, 6], [4]])
reward = dict(type='ProxyTask', metric='coco/bbox_mAP')
num_trials = 100

image_size = (128, 128)
data_root = 'data/shapes-128/'
shapes = dict(num_train=800, num_val=300, image_size=128, seed=0)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=image_size, keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
# A trial loads its pictures itself: each has one core.
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, shapes=shapes))
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(data_root=data_root, shapes=shapes, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

# 5 epochs of 100 steps.
train_cfg = dict(max_epochs=5, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=500, eta_min=3e-5),
]
