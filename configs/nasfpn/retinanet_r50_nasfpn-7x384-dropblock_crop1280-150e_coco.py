# R-50, 7 @ 384 with DropBlock at 1280x1280.
_base_ = [
    './_base_/retinanet_r50_nasfpn-dropblock.py',
    './_base_/coco_crop1280.py',
    './_base_/schedule_150e.py',
    './_base_/runtime_dropblock.py',
]

model = dict(
    # The authors pad every image to the full square, after normalisation.
    data_preprocessor=dict(pad_size_divisor=1280),
    neck=dict(out_channels=384),
    bbox_head=dict(in_channels=384, feat_channels=384))
