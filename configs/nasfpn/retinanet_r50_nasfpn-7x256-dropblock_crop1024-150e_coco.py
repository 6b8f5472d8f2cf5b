# R-50, 7 @ 256 with DropBlock at 1024x1024.
_base_ = [
    './_base_/retinanet_r50_nasfpn-dropblock.py',
    './_base_/coco_crop1024.py',
    './_base_/schedule_150e.py',
    './_base_/runtime_dropblock.py',
]

# The authors pad every image to the full square, after normalisation.
model = dict(data_preprocessor=dict(pad_size_divisor=1024))
