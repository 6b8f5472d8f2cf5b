# RetinaNet with a ResNet-50 and NAS-FPN 7 @ 256, as the authors run it.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

# TensorFlow's momentum 0.997.
norm_cfg = dict(type='BN', momentum=0.003, eps=1e-4, requires_grad=True)
model = dict(
    backbone=dict(norm_cfg=norm_cfg, norm_eval=False),
    neck=dict(
        _delete_=True,
        type='mmnasfpn.NASFPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=5,
        stack_times=7,
        start_level=1,
        norm_cfg=norm_cfg),
    # Convolutions shared over the levels, one BN per level.
    bbox_head=dict(
        type='mmnasfpn.RetinaSepBNHead',
        num_ins=5,
        norm_cfg=norm_cfg,
        loss_cls=dict(gamma=1.5),  # section 4.1
        # The authors' Huber loss (delta 0.1, weight 50, divided by the 4 coordinates too).
        loss_bbox=dict(_delete_=True, type='mmdet.SmoothL1Loss', beta=0.1, loss_weight=1.25)),
    train_cfg=dict(assigner=dict(neg_iou_thr=0.5)),
    test_cfg=dict(nms_pre=5000))
