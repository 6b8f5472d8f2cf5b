_base_ = ['../../configs/nasfpn/retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py']

model = dict(bbox_head=dict(anchor_generator=dict(octave_base_scale=4)))
