# Search a pyramid for blood cells: a short training by the recipe of fine-tuning, and the AP on 72 of
# the 292 training images, which are held out. They are chosen, once, by
#     python tools/split_coco.py data/bccd/annotations/trainval.json --num-held-out 72
_base_ = '../retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py'

search_space = dict(min_level=3, max_level=7, num_intermediate=2)
reward = dict(type='ProxyTask', metric='coco/bbox_mAP')
num_trials = 100

held_out = 'annotations/trainval_search-val.json'
train_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(ann_file='annotations/trainval_search-train.json'))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(ann_file=held_out))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.data_root + held_out)
test_evaluator = val_evaluator

train_cfg = dict(max_iters=150, val_interval=150)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=150, eta_min_ratio=0.01),
]
