# MobileNetV2, FPNLite @ 64 at 320x320.
_base_ = './retinanet-lite_mobilenetv2_nasfpnlite-7x64_320-55e_coco.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmnasfpn.FPN',
        in_channels=[32, 96, 320],
        out_channels=64,
        num_outs=4,
        separable=True,
        norm_cfg=_base_.norm_cfg))
