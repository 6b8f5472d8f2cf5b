# The proxy task for 15 cells on P3 to P6 (section 4.3) on a CPU: MobileNetV2 of a quarter of its width,
# 3 @ 48, on generated shapes. A trial takes about two minutes on one core.
_base_ = ['../_base_/retinanet-lite_mobilenetv2_nasfpnlite.py', '../_base_/shapes_128.py',
          '../_base_/schedule_5e_shapes.py', '../_base_/runtime.py']

# Six of the eleven intermediate cells are on P4, so that the paper's two Lite models count within 10% of
# its FLOPs with any pyramid of this space.
search_space = dict(
    min_level=3, max_level=6, num_intermediate=11,
    intermediate_levels=[[4], [4, 5, 6], [4, 5, 6], [4], [4], [4, 5, 6], [4, 5, 6], [4], [4], [4, 5, 6],
                         [4]])
reward = dict(type='ProxyTask', metric='coco/bbox_mAP')
num_trials = 80

# As in retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_7e_shapes.py.
norm_cfg = dict(type='BN', momentum=0.1, eps=1e-3, requires_grad=True)
model = dict(
    backbone=dict(widen_factor=0.25, norm_cfg=norm_cfg, init_cfg=None),
    neck=dict(in_channels=[8, 24, 80], stack_times=3, out_channels=48, norm_cfg=norm_cfg),
    bbox_head=dict(num_classes=3, in_channels=48, feat_channels=48, norm_cfg=norm_cfg))
optim_wrapper = dict(optimizer=dict(lr=1e-2))
default_hooks = dict(logger=dict(interval=10))
