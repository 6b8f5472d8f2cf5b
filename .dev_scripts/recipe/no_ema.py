_base_ = ['./gn.py']

custom_hooks = [dict(type='mmdet.NumClassCheckHook')]
