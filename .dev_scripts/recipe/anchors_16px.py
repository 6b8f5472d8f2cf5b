_base_ = ['./gn.py']

model = dict(bbox_head=dict(anchor_generator=dict(octave_base_scale=2)))
