# For schedules in steps.
_base_ = './runtime.py'

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000))
log_processor = dict(by_epoch=False)
