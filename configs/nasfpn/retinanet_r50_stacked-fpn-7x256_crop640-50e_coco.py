# R-50, the vanilla FPN stacked 7 times @ 256 at 640x640 (Figure 8a).
_base_ = './retinanet_r50_nasfpn-7x256_crop640-50e_coco.py'

model = dict(neck=dict(genotype='fpn'))
