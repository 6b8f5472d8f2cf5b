# RTMDet-tiny with NAS-FPN 3 @ 96 in place of its CSPNeXtPAFPN. It has three levels, P3 to P5, for which
# the genotype is derived from the published one.
_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmnasfpn.NASFPN',
        in_channels=[96, 192, 384],
        out_channels=96,
        num_outs=3,
        stack_times=3,
        genotype='nasfpn_3_levels',
        norm_cfg=dict(type='SyncBN')))
default_hooks = dict(
    checkpoint=dict(type='mmnasfpn.AtomicCheckpointHook', interval=10, max_keep_ckpts=3))
randomness = dict(seed=0)
