# MMDetection's R-50 NAS-FPN 7 @ 256 at 640x640, with its rules and its recipe: for its weights, once
# `tools/convert_checkpoint.py --from mmdet` has converted them.
_base_ = 'mmdet::nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py'

model = dict(
    neck=dict(type='mmnasfpn.NASFPN', variant='mmdet'),
    bbox_head=dict(type='mmnasfpn.RetinaSepBNHead'))
default_hooks = dict(
    checkpoint=dict(type='mmnasfpn.AtomicCheckpointHook', interval=1, max_keep_ckpts=3))
randomness = dict(seed=0)
custom_hooks = [dict(type='mmdet.NumClassCheckHook')]
