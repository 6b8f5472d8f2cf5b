# AmoebaNet-D of 3 cells of 32 filters, 3 @ 64, on generated shapes.
_base_ = './retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmnasfpn.AmoebaNet',
        num_cells=3,
        filters=32,
        norm_cfg=_base_.norm_cfg),
    neck=dict(in_channels=[24, 128, 256, 512]))
