# R-50, the vanilla FPN stacked 5 times @ 256 at 640x640 (Figure 8a).
_base_ = './retinanet_r50_stacked-fpn-7x256_crop640-50e_coco.py'

model = dict(neck=dict(stack_times=5))
