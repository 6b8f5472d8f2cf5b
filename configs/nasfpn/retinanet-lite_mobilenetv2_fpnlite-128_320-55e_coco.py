# MobileNetV2, FPNLite @ 128 at 320x320.
_base_ = './retinanet-lite_mobilenetv2_fpnlite-64_320-55e_coco.py'

model = dict(neck=dict(out_channels=128), bbox_head=dict(in_channels=128, feat_channels=128))
