# MobileNetV2, 1 @ 64, fine-tuned on blood cells.
_base_ = './retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py'

model = dict(neck=dict(stack_times=1))
