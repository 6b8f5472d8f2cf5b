# R-101 with the FPN baseline at 1024x1024.
_base_ = './retinanet_r50_fpn-256_crop1024-50e_coco.py'

model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
