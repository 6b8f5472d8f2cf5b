# RetinaNet with MobileNetV2 and NAS-FPNLite 7 @ 64 on P3 to P6 (section 4.3). The 15
# cells are of a search of ours: the paper's are not published.
_base_ = './retinanet_r50_nasfpn.py'

# TensorFlow's momentum 0.997.
norm_cfg = dict(type='BN', momentum=0.003, eps=1e-3, requires_grad=True)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmnasfpn.MobileNetV2',
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2')),
    neck=dict(
        in_channels=[32, 96, 320],
        start_level=0,
        out_channels=64,
        num_outs=4,
        genotype='nasfpn_lite',
        separable=True,
        norm_cfg=norm_cfg),
    bbox_head=dict(
        type='mmnasfpn.LiteRetinaHead',
        num_ins=4,
        in_channels=64,
        feat_channels=64,
        norm_cfg=norm_cfg,
        anchor_generator=dict(strides=[8, 16, 32, 64])))
