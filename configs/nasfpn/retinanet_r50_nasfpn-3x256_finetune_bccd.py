# R-50, 3 @ 256, fine-tuned on blood cells.
_base_ = [
    '_base_/retinanet_r50_nasfpn_finetune.py',
    '_base_/bccd.py',
    '_base_/schedule_finetune.py',
    '_base_/runtime_finetune.py',
]

model = dict(bbox_head=dict(
    num_classes=3,
    anchor_generator=dict(octave_base_scale=3)))  # platelets have 20 pixels a side
# A usual rate for a pretrained ResNet. Not measured here.
optim_wrapper = dict(optimizer=dict(lr=5e-4))
