# R-18 of width 16, 7 @ 32, on generated shapes in batches of 8: the deepest neck, from scratch.
_base_ = [
    './_base_/retinanet_r50_nasfpn.py',
    './_base_/shapes.py',
    './_base_/schedule_shapes_24e.py',
    './_base_/runtime.py',
]

# PyTorch's momentum.
norm_cfg = dict(type='BN', momentum=0.1, eps=1e-5, requires_grad=True)
model = dict(
    backbone=dict(
        depth=18,
        base_channels=16,
        frozen_stages=-1,
        norm_cfg=norm_cfg,
        init_cfg=None),
    neck=dict(
        in_channels=[16, 32, 64, 128],
        out_channels=32,
        stack_times=7,
        norm_cfg=norm_cfg),
    bbox_head=dict(num_classes=3, in_channels=32, feat_channels=32, stacked_convs=2, norm_cfg=norm_cfg))
default_hooks = dict(logger=dict(interval=10))
