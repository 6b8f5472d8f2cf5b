# R-50, 7 @ 256 at 640x640, in batches of 16 images in all: BN over the whole batch, however many GPUs
# share it. On 4 GPUs: --launcher pytorch --gpus 4 --cfg-options train_dataloader.batch_size=4.
_base_ = './retinanet_r50_nasfpn-7x256-gn_1xb8-crop640-50e_coco.py'

# PyTorch's momentum; the authors' 0.003 made no difference in short runs.
sync_batch_norm = dict(type='SyncBN', momentum=0.1, eps=1e-4, requires_grad=True)
model = dict(
    neck=dict(norm_cfg=dict(_delete_=True, **sync_batch_norm)),
    bbox_head=dict(norm_cfg=dict(_delete_=True, **sync_batch_norm)))
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=0.08 * 16 / 64))
auto_scale_lr = dict(base_batch_size=16)
