# AmoebaNet-D with the FPN baseline at 1280x1280, with a cosine schedule.
_base_ = [
    './_base_/retinanet_amoebanet-d_fpn.py',
    './_base_/coco_crop1280.py',
    './_base_/schedule_50e_cosine.py',
    './_base_/runtime.py',
]

# The authors pad every image to the full square, after normalisation.
model = dict(data_preprocessor=dict(pad_size_divisor=1280))
