# MobileNetV2, NAS-FPNLite 7 @ 64 at 320x320. The 15 cells are of a search
# of ours: the paper's are not published.
_base_ = [
    './_base_/retinanet-lite_mobilenetv2_nasfpnlite.py',
    './_base_/coco_320.py',
    './_base_/schedule_55e_lite.py',
    './_base_/runtime.py',
]
