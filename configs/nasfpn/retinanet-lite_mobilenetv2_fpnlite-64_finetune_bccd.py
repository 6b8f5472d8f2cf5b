# MobileNetV2, FPNLite @ 64, fine-tuned on blood cells, to compare with.
_base_ = './retinanet-lite_mobilenetv2_nasfpnlite-3x48_finetune_bccd.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmnasfpn.FPN',
        in_channels=[32, 96, 320],
        out_channels=64,
        num_outs=4,
        separable=True,
        norm_cfg=_base_.batch_norm),
    bbox_head=dict(in_channels=64, feat_channels=64))
