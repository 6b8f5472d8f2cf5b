_base_ = ['../../configs/nasfpn/retinanet_mobilenetv2_fpn-64_finetune_bccd.py']

batch_norm = dict(type='BN', requires_grad=True)
model = dict(
    neck=dict(norm_cfg=dict(_delete_=True, **batch_norm)),
    bbox_head=dict(norm_cfg=dict(_delete_=True, **batch_norm)))
