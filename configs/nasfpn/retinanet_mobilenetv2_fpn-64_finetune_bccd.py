# MobileNetV2, FPN @ 64, fine-tuned on blood cells, to compare with.
_base_ = './retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmnasfpn.FPN',
        in_channels=[32, 96, 320],
        out_channels=64,
        num_outs=5,
        norm_cfg=_base_.batch_norm))
