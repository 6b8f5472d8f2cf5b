# R-18 of width 16, 3 @ 64, on generated shapes: trains from scratch on two CPU cores in minutes.
_base_ = [
    './_base_/retinanet_r50_nasfpn.py',
    './_base_/shapes.py',
    './_base_/schedule_shapes.py',
    './_base_/runtime.py',
]

# PyTorch's momentum: with the authors' 0.003, a third of the statistics after 350 steps (0.997**350)
# would be those of the initialisation still.
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
        out_channels=64,
        stack_times=3,
        norm_cfg=norm_cfg),
    bbox_head=dict(num_classes=3, in_channels=64, feat_channels=64, stacked_convs=2, norm_cfg=norm_cfg))
default_hooks = dict(logger=dict(interval=10))
