# AmoebaNet-D in place of ResNet-50. The paper does not give its size; 15 cells of 256 filters fit its
# FLOPs. It starts from scratch: for weights of your own, set init_cfg=dict(type='Pretrained', ...).
_base_ = './retinanet_r50_nasfpn.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmnasfpn.AmoebaNet',
        num_cells=15,
        filters=256,
        norm_cfg=_base_.norm_cfg),
    neck=dict(in_channels=[192, 1024, 2048, 4096]))
