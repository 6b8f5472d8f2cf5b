# 50 epochs in batches of 64: 0.08, a tenth of it after 30 and again after 40 (section 4.1).
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.08, momentum=0.9, weight_decay=1e-4),
    # No decay on BN; the head shares convolutions, which are to be counted once.
    paramwise_cfg=dict(norm_decay_mult=0, bypass_duplicate=True))
param_scheduler = [
    # 500 steps from 0.0067.
    dict(type='LinearLR', start_factor=0.0067 / 0.08, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=50, milestones=[30, 40], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
