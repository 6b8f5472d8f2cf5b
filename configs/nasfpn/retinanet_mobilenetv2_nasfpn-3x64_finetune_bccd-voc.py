# The same with the annotations in Pascal VOC's format, as the data set came.
_base_ = [
    '_base_/retinanet_mobilenetv2_nasfpn_finetune.py',
    '_base_/bccd_voc.py',
    '_base_/schedule_finetune.py',
    '_base_/runtime_finetune.py',
]

model = dict(bbox_head=dict(
    num_classes=3,
    anchor_generator=dict(octave_base_scale=3)))  # platelets have 20 pixels a side
