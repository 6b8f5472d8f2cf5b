# 55 epochs in batches of 128, about 50,000 steps, for the Lite models: the object detection API's
# schedule of later FPNLite models. The paper names only the API (section 4.3).
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=55, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.08, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0, bypass_duplicate=True))
param_scheduler = [
    # 1,000 steps from 0.0267.
    dict(type='LinearLR', start_factor=0.0267 / 0.08, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=55, T_max=55, eta_min=0,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=128)
