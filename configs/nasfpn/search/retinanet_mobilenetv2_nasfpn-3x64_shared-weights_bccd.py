# Search a pyramid for blood cells by shared weights: a supernet of all pyramids is trained once, then a
# trial only evaluates.
_base_ = './retinanet_mobilenetv2_nasfpn-3x64_150it_bccd.py'

reward = dict(
    type='SharedWeights', metric='coco/bbox_mAP', num_batches=4,
    supernet=dict(
        train_cfg=dict(max_iters=4000, val_interval=4000),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
            dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=4000, eta_min_ratio=0.01)]))
num_trials = 500

# Fewer candidates take less time; an image has at most a few dozen cells.
model = dict(test_cfg=dict(nms_pre=200))
