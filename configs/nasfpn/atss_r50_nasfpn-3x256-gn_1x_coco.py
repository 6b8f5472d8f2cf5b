# ATSS with NAS-FPN 3 @ 256 in place of its FPN, P3 to P7. GN, because 2 images on a
# GPU are too few for BN.
_base_ = 'mmdet::atss/atss_r50_fpn_1x_coco.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmnasfpn.NASFPN',
        in_channels=[256, 512, 1024, 2048],
        start_level=1,
        out_channels=256,
        num_outs=5,
        stack_times=3,
        norm_cfg=dict(type='GN', num_groups=32, requires_grad=True)))
default_hooks = dict(
    checkpoint=dict(type='mmnasfpn.AtomicCheckpointHook', interval=1, max_keep_ckpts=3))
randomness = dict(seed=0)
custom_hooks = [dict(type='mmdet.NumClassCheckHook')]
