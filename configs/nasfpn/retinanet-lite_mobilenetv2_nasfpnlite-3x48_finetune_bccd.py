# MobileNetV2, NAS-FPNLite 3 @ 48, fine-tuned on blood cells. The 15 cells are of a search of ours: the
# paper's are not published.
_base_ = './retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py'

model = dict(
    neck=dict(out_channels=48, num_outs=4, genotype='nasfpn_lite', separable=True),
    bbox_head=dict(
        type='mmnasfpn.LiteRetinaHead',
        num_ins=4,
        in_channels=48,
        feat_channels=48,
        anchor_generator=dict(strides=[8, 16, 32, 64])))
