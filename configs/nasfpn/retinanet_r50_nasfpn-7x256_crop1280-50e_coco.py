# R-50, 7 @ 256 at 1280x1280.
_base_ = [
    './_base_/retinanet_r50_nasfpn.py',
    './_base_/coco_crop1280.py',
    './_base_/schedule_50e.py',
    './_base_/runtime.py',
]

# The authors pad every image to the full square, after normalisation.
model = dict(data_preprocessor=dict(pad_size_divisor=1280))
