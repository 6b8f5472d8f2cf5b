# MobileNetV2, 7 @ 256 at 640x640.
_base_ = './retinanet_r50_nasfpn-7x256_crop640-50e_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmnasfpn.MobileNetV2',
        norm_cfg=_base_.norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2')),
    neck=dict(in_channels=[32, 96, 320], start_level=0))
