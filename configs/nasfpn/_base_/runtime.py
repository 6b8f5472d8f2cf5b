_base_ = 'mmdet::_base_/default_runtime.py'

default_hooks = dict(
    checkpoint=dict(type='mmnasfpn.AtomicCheckpointHook', interval=1, max_keep_ckpts=3))
# A fixed seed: a resumed run sees the data in the order of an uninterrupted one.
randomness = dict(seed=0)
custom_hooks = [dict(type='mmdet.NumClassCheckHook')]
