# R-50 with the FPN baseline at 640x640.
_base_ = [
    './_base_/retinanet_r50_fpn.py',
    './_base_/coco_crop640.py',
    './_base_/schedule_50e.py',
    './_base_/runtime.py',
]

# The authors pad every image to the full square, after normalisation.
model = dict(data_preprocessor=dict(pad_size_divisor=640))
