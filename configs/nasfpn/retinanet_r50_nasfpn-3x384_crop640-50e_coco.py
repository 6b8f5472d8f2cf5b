# R-50, 3 @ 384 at 640x640.
_base_ = './retinanet_r50_nasfpn-3x256_crop640-50e_coco.py'

model = dict(neck=dict(out_channels=384), bbox_head=dict(in_channels=384, feat_channels=384))
