# The FPN baseline of Table 1: everything else as with NAS-FPN.
_base_ = './retinanet_r50_nasfpn.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmnasfpn.FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=5,
        start_level=1,
        norm_cfg=_base_.norm_cfg))
