# The paper's proxy task (section 4.2): ResNet-10, 3 @ 256, 512x512, 10 epochs in batches of 64, and the
# AP on 7,392 images of train2017 that are held out. They are chosen, once, by
#     python tools/split_coco.py data/coco/annotations/instances_train2017.json
_base_ = ['../_base_/retinanet_r50_nasfpn.py', '../_base_/coco_crop640.py', '../_base_/schedule_50e.py',
          '../_base_/runtime.py']

search_space = dict(min_level=3, max_level=7, num_intermediate=2)
reward = dict(type='ProxyTask', metric='coco/bbox_mAP')
num_trials = 8000

image_size = (512, 512)
_base_.train_pipeline[2].scale = image_size  # RandomResize
_base_.train_pipeline[3].crop_size = image_size  # RandomCrop
_base_.test_pipeline[1].scale = image_size  # Resize
held_out = 'annotations/instances_train2017_search-val.json'
# The paper's batch of 64 on one device: with a batch that fits yours, scale optim_wrapper.optimizer.lr
# alike.
train_dataloader = dict(
    batch_size=64,
    dataset=dict(ann_file='annotations/instances_train2017_search-train.json',
                 pipeline=_base_.train_pipeline))
val_dataloader = dict(
    batch_size=8,
    dataset=dict(ann_file=held_out, data_prefix=dict(img='train2017/'), pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.data_root + held_out)
test_evaluator = val_evaluator

model = dict(
    data_preprocessor=dict(pad_size_divisor=512),
    backbone=dict(_delete_=True, type='mmnasfpn.ResNet10', num_stages=4, out_indices=(0, 1, 2, 3),
                  norm_cfg=_base_.norm_cfg, norm_eval=False),
    neck=dict(in_channels=[64, 128, 256, 512], stack_times=3))

train_cfg = dict(max_epochs=10, val_interval=10)
param_scheduler = [
    # The first epoch, 110,895 images in batches of 64, from 0.0067.
    dict(type='LinearLR', start_factor=0.0067 / 0.08, by_epoch=False, begin=0, end=1733),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=10, milestones=[8], gamma=0.1),
]
