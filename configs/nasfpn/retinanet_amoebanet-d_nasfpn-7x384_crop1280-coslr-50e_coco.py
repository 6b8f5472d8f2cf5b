# AmoebaNet-D, 7 @ 384 at 1280x1280, with a cosine schedule.
_base_ = [
    './_base_/retinanet_amoebanet-d_nasfpn.py',
    './_base_/coco_crop1280.py',
    './_base_/schedule_50e_cosine.py',
    './_base_/runtime.py',
]

model = dict(
    # The authors pad every image to the full square, after normalisation.
    data_preprocessor=dict(pad_size_divisor=1280),
    neck=dict(out_channels=384),
    bbox_head=dict(in_channels=384, feat_channels=384))
