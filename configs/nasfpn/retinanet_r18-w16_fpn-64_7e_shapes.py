# R-18 of width 16 with the FPN baseline @ 64, on generated shapes.
_base_ = './retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmnasfpn.FPN',
        in_channels=[16, 32, 64, 128],
        out_channels=64,
        num_outs=5,
        start_level=1,
        norm_cfg=_base_.norm_cfg))
