# R-18 of width 16, 5 @ 32, with GN and a head after each stack, on generated shapes: exits after any
# stack.
_base_ = './retinanet_r18-w16_nasfpn-5x32-gn_24e_shapes.py'

model = dict(type='mmnasfpn.AnytimeDetector', heads='shared')  # GN has no statistics to keep apart
