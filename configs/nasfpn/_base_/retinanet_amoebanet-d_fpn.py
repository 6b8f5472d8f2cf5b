# AmoebaNet-D with the FPN baseline of Table 1.
_base_ = './retinanet_amoebanet-d_nasfpn.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmnasfpn.FPN',
        in_channels=[192, 1024, 2048, 4096],
        out_channels=256,
        num_outs=5,
        start_level=1,
        norm_cfg=_base_.norm_cfg))
