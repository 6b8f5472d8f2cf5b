# The proxy task of section 4.2 in small, for a CPU: ResNet-10 of width 16, 3 @ 32, on generated shapes.
# A trial takes one to two minutes on one core.
_base_ = ['../_base_/retinanet_r50_nasfpn.py', '../_base_/shapes_128.py',
          '../_base_/schedule_4e_shapes.py', '../_base_/runtime.py']

search_space = dict(min_level=3, max_level=7, num_intermediate=2)
reward = dict(type='ProxyTask', metric='coco/bbox_mAP')
num_trials = 100

# PyTorch's momentum; see retinanet_r18-w16_nasfpn-3x64_7e_shapes.py.
norm_cfg = dict(type='BN', momentum=0.1, eps=1e-5, requires_grad=True)
model = dict(
    backbone=dict(_delete_=True, type='mmnasfpn.ResNet10', base_channels=16, norm_cfg=norm_cfg,
                  norm_eval=False),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32, stack_times=3, norm_cfg=norm_cfg),
    bbox_head=dict(num_classes=3, in_channels=32, feat_channels=32, stacked_convs=2, norm_cfg=norm_cfg))
default_hooks = dict(logger=dict(interval=10))
