# RetinaNet with a pretrained ResNet-50 and NAS-FPN 3 @ 256, for a small data set.
_base_ = './retinanet_r50_nasfpn.py'

batch_norm = dict(type='BN', requires_grad=True)
model = dict(
    data_preprocessor=dict(pad_size_divisor=1),
    backbone=dict(frozen_stages=1, norm_eval=True),
    neck=dict(stack_times=3, norm_cfg=dict(_delete_=True, **batch_norm)),
    bbox_head=dict(
        reg_decoded_bbox=True,
        loss_bbox=dict(_delete_=True, type='mmdet.GIoULoss', loss_weight=2.0),
        norm_cfg=dict(_delete_=True, **batch_norm)))
