_base_ = './runtime.py'

default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=250),
    logger=dict(interval=25, log_metric_by_epoch=False))
log_processor = dict(by_epoch=False)
custom_hooks = [
    dict(type='mmdet.NumClassCheckHook'),
    dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=0.005, gamma=100,
         update_buffers=True, priority=49),
]
