_base_ = 'mmdet::_base_/default_runtime.py'

default_hooks = dict(
    checkpoint=dict(type='mmnasfpn.AtomicCheckpointHook', interval=1, max_keep_ckpts=3))
custom_hooks = [dict(type='mmdet.NumClassCheckHook')]
