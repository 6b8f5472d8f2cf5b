# R-18 of width 16, 3 @ 64 with DropBlock, on generated shapes.
_base_ = './retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'

model = dict(neck=dict(dropblock_cfg=dict(keep_prob=0.9, block_size=3)))
custom_hooks = [dict(type='mmdet.NumClassCheckHook'), dict(type='mmnasfpn.DropBlockRampHook')]
randomness = dict(diff_rank_seed=True)  # each process drops blocks of its own
