# RetinaNet with a pretrained MobileNetV2 and NAS-FPN 3 @ 64, for a small data set.
_base_ = './retinanet_r50_nasfpn.py'

batch_norm = dict(type='BN', requires_grad=True)
model = dict(
    # As the backbone's weights were trained, by TensorFlow (docs/finetuning.md).
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, pad_size_divisor=1),
    backbone=dict(
        _delete_=True,
        type='mmnasfpn.MobileNetV2',
        frozen_stages=2,
        conv_cfg=dict(type='Conv2dAdaptivePadding'),
        norm_cfg=dict(type='BN', eps=1e-3, requires_grad=True),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='weights/mobilenetv2.pth')),
    neck=dict(
        in_channels=[32, 96, 320],
        start_level=0,
        out_channels=64,
        stack_times=3,
        norm_cfg=dict(_delete_=True, **batch_norm)),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        reg_decoded_bbox=True,
        loss_bbox=dict(_delete_=True, type='mmdet.GIoULoss', loss_weight=2.0),
        norm_cfg=dict(_delete_=True, **batch_norm)))
