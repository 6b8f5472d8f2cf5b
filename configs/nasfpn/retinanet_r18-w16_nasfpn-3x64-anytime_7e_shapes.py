# R-18 of width 16, 3 @ 64, with a head after each stack, on generated shapes.
_base_ = './retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'

model = dict(type='mmnasfpn.AnytimeDetector')
