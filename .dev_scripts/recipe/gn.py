_base_ = ['../../configs/nasfpn/retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py']

group_norm = dict(type='GN', num_groups=16, requires_grad=True)
model = dict(
    neck=dict(norm_cfg=dict(_delete_=True, **group_norm)),
    bbox_head=dict(norm_cfg=dict(_delete_=True, **group_norm)))
