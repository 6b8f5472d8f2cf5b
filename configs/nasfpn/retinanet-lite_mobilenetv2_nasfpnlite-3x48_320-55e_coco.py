# MobileNetV2, NAS-FPNLite 3 @ 48 at 320x320. The 15 cells are of a search
# of ours: the paper's are not published.
_base_ = './retinanet-lite_mobilenetv2_nasfpnlite-7x64_320-55e_coco.py'

model = dict(
    neck=dict(stack_times=3, out_channels=48),
    bbox_head=dict(in_channels=48, feat_channels=48))
