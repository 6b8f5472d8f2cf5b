# MobileNetV2 of a quarter of its width, FPNLite @ 72, on generated shapes: as many FLOPs as NAS-FPNLite
# 3 @ 48 has.
_base_ = './retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_7e_shapes.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmnasfpn.FPN',
        in_channels=[8, 24, 80],
        out_channels=72,
        num_outs=4,
        separable=True,
        norm_cfg=_base_.norm_cfg),
    bbox_head=dict(in_channels=72, feat_channels=72))
