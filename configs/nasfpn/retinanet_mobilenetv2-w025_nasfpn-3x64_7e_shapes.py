# MobileNetV2 of a quarter of its width, 3 @ 64, on generated shapes.
_base_ = './retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmnasfpn.MobileNetV2',
        widen_factor=0.25,
        norm_cfg=_base_.norm_cfg),
    neck=dict(in_channels=[8, 24, 80], start_level=0))
