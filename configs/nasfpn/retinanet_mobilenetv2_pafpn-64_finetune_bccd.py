# MobileNetV2, PAFPN @ 64, fine-tuned on blood cells, to compare with.
_base_ = './retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py'

model = dict(neck=dict(genotype='pafpn', stack_times=1))
