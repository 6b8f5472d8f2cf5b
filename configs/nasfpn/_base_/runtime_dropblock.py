_base_ = './runtime.py'

custom_hooks = [dict(type='mmdet.NumClassCheckHook'), dict(type='mmnasfpn.DropBlockRampHook')]
