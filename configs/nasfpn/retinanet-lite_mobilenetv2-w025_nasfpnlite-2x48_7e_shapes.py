# MobileNetV2 of a quarter of its width, NAS-FPNLite 2 @ 48, on generated shapes.
_base_ = './retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_7e_shapes.py'

model = dict(neck=dict(stack_times=2))
