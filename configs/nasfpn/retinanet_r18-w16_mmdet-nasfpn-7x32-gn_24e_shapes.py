# The same recipe with MMDetection's own NASFPN, to compare with.
_base_ = './retinanet_r18-w16_nasfpn-7x32-gn_24e_shapes.py'

model = dict(neck=dict(type='mmdet.NASFPN'))
