# MobileNetV2, 3 @ 256 at 640x640.
_base_ = './retinanet_mobilenetv2_nasfpn-7x256_crop640-50e_coco.py'

model = dict(neck=dict(stack_times=3))
