# R-50, 7 @ 256 at 640x640, in batches of 8 images in all, on one GPU: GN in neck and head, whose
# statistics do not depend on the batch. Another batch: --cfg-options train_dataloader.batch_size=16
# and --auto-scale-lr.
_base_ = './retinanet_r50_nasfpn-7x256_crop640-50e_coco.py'

group_norm = dict(type='GN', num_groups=32, requires_grad=True)
model = dict(
    backbone=dict(norm_eval=True),  # keeps the statistics that it was pretrained with
    neck=dict(norm_cfg=dict(_delete_=True, **group_norm)),
    bbox_head=dict(norm_cfg=dict(_delete_=True, **group_norm)))
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=0.08 * 8 / 64), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=50, milestones=[30, 40], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=8)
