# AmoebaNet-D, 7 @ 384 with DropBlock at 1280x1280, with a cosine schedule of 150 epochs.
_base_ = [
    './_base_/retinanet_amoebanet-d_nasfpn.py',
    './_base_/coco_crop1280.py',
    './_base_/schedule_50e_cosine.py',
    './_base_/runtime_dropblock.py',
]

model = dict(
    # The authors pad every image to the full square, after normalisation.
    data_preprocessor=dict(pad_size_divisor=1280),
    # The paper does not give the keep probability; 0.9 is usual.
    neck=dict(out_channels=384, dropblock_cfg=dict(keep_prob=0.9, block_size=3)),
    bbox_head=dict(in_channels=384, feat_channels=384))
train_cfg = dict(max_epochs=150)
_base_.param_scheduler[1].update(end=150, T_max=150)
