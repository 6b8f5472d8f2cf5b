_base_ = './retinanet_r10-w16_nasfpn-3x32_4e_shapes.py'

reward = dict(
    type='SharedWeights', metric='coco/bbox_mAP',
    supernet=dict(
        train_cfg=dict(max_epochs=36, val_interval=36),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
            dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=3600, eta_min=3e-5)]))
num_trials = 1000
