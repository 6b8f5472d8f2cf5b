# 50,000 steps in batches of 128 for the Lite models: the object detection API's schedule of later
# FPNLite models. The paper names only the API (section 4.3).
train_cfg = dict(type='IterBasedTrainLoop', max_iters=50000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.08, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0, bypass_duplicate=True))
param_scheduler = [
    # 1,000 steps from 0.0267.
    dict(type='LinearLR', start_factor=0.0267 / 0.08, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1000, end=50000, eta_min=0),
]
auto_scale_lr = dict(enable=False, base_batch_size=128)
