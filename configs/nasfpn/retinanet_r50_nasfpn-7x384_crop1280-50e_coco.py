# R-50, 7 @ 384 at 1280x1280.
_base_ = './retinanet_r50_nasfpn-7x256_crop1280-50e_coco.py'

model = dict(neck=dict(out_channels=384), bbox_head=dict(in_channels=384, feat_channels=384))
