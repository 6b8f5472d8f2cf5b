# MobileNetV2, 5 @ 64, with a head after each stack, fine-tuned on blood cells: exits after any stack.
_base_ = './retinanet_mobilenetv2_nasfpn-5x64_finetune_bccd.py'

model = dict(type='mmnasfpn.AnytimeDetector')
