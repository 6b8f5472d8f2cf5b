# R-18 of width 16, 7 @ 32, on generated shapes in batches of 8: the deepest neck, from scratch, with
# more epochs and a longer warm-up.
_base_ = './retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'

model = dict(
    neck=dict(out_channels=32, stack_times=7),
    bbox_head=dict(in_channels=32, feat_channels=32))
train_cfg = dict(max_epochs=24, val_interval=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=1200, eta_min=3e-5),
]
