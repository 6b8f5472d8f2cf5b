# Shared weights (Guo et al., 2020) in place of the paper's proxy task: a supernet of all pyramids is
# trained once, on the same images; then a trial only evaluates. How long it must be trained was not
# measured on COCO.
_base_ = './retinanet_r10_nasfpn-3x256_crop512-10e_coco.py'

reward = dict(
    type='SharedWeights', metric='coco/bbox_mAP', num_batches=4,
    supernet=dict(
        train_cfg=dict(max_epochs=36, val_interval=36),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.0067 / 0.08, by_epoch=False, begin=0, end=1733),
            dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=36, convert_to_iter_based=True)]))
num_trials = 4000
