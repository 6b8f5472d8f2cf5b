# 24 epochs of 50 steps, with a longer warm-up than 7 epochs have.
_base_ = './schedule_shapes.py'

train_cfg = dict(max_epochs=24, val_interval=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=1200, eta_min=3e-5),
]
