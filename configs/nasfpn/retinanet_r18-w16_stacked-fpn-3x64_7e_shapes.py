# R-18 of width 16, the vanilla FPN stacked 3 times @ 64, on generated shapes.
_base_ = './retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'

model = dict(neck=dict(genotype='fpn'))
