# Shared weights for the 15 cells of NAS-FPNLite, on generated shapes: a supernet of all pyramids is
# trained once, then a trial only evaluates.
_base_ = './retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_5e_shapes.py'

# docs/searches/nasfpn_lite/by_hand.json. A supernet that has trained it alone at first learns faster.
by_hand = dict(min_level=3, max_level=6, cells=[
    dict(level=level, op=op, inputs=inputs, is_output=index > 10)
    for index, (level, op, inputs) in enumerate([
        (4, 'gp', [1, 3]), (4, 'sum', [1, 4]), (5, 'sum', [2, 5]),
        (4, 'gp', [5, 6]), (4, 'sum', [5, 7]), (6, 'gp', [3, 6]),
        (5, 'gp', [6, 9]), (4, 'sum', [8, 10]), (4, 'gp', [9, 11]),
        (5, 'sum', [10, 11]), (4, 'sum', [11, 12]), (3, 'sum', [0, 14]),
        (4, 'sum', [14, 15]), (5, 'gp', [13, 16]), (6, 'gp', [9, 17])
    ])])
reward = dict(
    type='SharedWeights', metric='coco/bbox_mAP',
    warm_up=dict(genotype=by_hand, steps=300),
    supernet=dict(
        train_cfg=dict(max_epochs=72, val_interval=72),
        optim_wrapper=dict(optimizer=dict(lr=5e-3)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
            dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=7200, eta_min=3e-5)]))
num_trials = 200

# An image has a few shapes: fewer detections take a third of the time. One stack in place of three: a
# supernet of 45 cells in a row learned nothing in 2,500 steps.
model = dict(neck=dict(stack_times=1), test_cfg=dict(nms_pre=100, max_per_img=30))
