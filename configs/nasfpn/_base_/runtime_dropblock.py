_base_ = './runtime.py'

custom_hooks = [dict(type='mmdet.NumClassCheckHook'), dict(type='mmnasfpn.DropBlockRampHook')]
# Each process drops blocks of its own.
randomness = dict(diff_rank_seed=True)
