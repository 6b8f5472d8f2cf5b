# MobileNetV2, the vanilla FPN stacked 3 times @ 64, fine-tuned on blood cells, to compare with.
_base_ = './retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py'

model = dict(neck=dict(genotype='fpn'))
