# MobileNetV2 of a quarter of its width, NAS-FPNLite 3 @ 48, on generated shapes. The 15 cells
# are of a search of ours: the paper's are not published.
_base_ = [
    './_base_/retinanet-lite_mobilenetv2_nasfpnlite.py',
    './_base_/shapes.py',
    './_base_/schedule_shapes.py',
    './_base_/runtime.py',
]

# PyTorch's momentum; see retinanet_r18-w16_nasfpn-3x64_7e_shapes.py.
norm_cfg = dict(type='BN', momentum=0.1, eps=1e-3, requires_grad=True)
model = dict(
    backbone=dict(widen_factor=0.25, norm_cfg=norm_cfg, init_cfg=None),
    neck=dict(in_channels=[8, 24, 80], stack_times=3, out_channels=48, norm_cfg=norm_cfg),
    bbox_head=dict(num_classes=3, in_channels=48, feat_channels=48, norm_cfg=norm_cfg))
# Separable convolutions take a higher one than the others'.
optim_wrapper = dict(optimizer=dict(lr=1e-2))
default_hooks = dict(logger=dict(interval=10))
