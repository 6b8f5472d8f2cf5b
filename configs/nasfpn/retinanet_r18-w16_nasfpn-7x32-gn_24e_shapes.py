# R-18 of width 16, 7 @ 32, with GN in neck and head, whose statistics do not depend on the batch.
_base_ = './retinanet_r18-w16_nasfpn-7x32_24e_shapes.py'

group_norm = dict(type='GN', num_groups=8, requires_grad=True)
model = dict(
    neck=dict(norm_cfg=dict(_delete_=True, **group_norm)),
    bbox_head=dict(norm_cfg=dict(_delete_=True, **group_norm)))
