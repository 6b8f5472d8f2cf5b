# Shared weights for the 15 cells of NAS-FPNLite, on generated shapes: a supernet of all pyramids is
# trained once, then a trial only evaluates.
_base_ = './retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_5e_shapes.py'

reward = dict(
    type='SharedWeights', metric='coco/bbox_mAP',
    supernet=dict(
        train_cfg=dict(max_epochs=144, val_interval=144),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
            dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=14400, eta_min=3e-5)]))
num_trials = 1000

# An image has a few shapes: fewer detections take a third of the time.
model = dict(test_cfg=dict(nms_pre=100, max_per_img=30))
