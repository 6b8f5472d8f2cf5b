# R-50, 5 @ 256 at 1024x1024.
_base_ = './retinanet_r50_nasfpn-7x256_crop1024-50e_coco.py'

model = dict(neck=dict(stack_times=5))
