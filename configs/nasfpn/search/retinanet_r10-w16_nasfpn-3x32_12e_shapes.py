# What proxies are compared with: three times the steps of retinanet_r10-w16_nasfpn-3x32_4e_shapes.py.
# A trial takes two to five minutes on one core.
_base_ = './retinanet_r10-w16_nasfpn-3x32_4e_shapes.py'

train_cfg = dict(max_epochs=12, val_interval=12)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=1200, eta_min=3e-5),
]
