# R-50, 7 @ 384 with DropBlock at 1024x1024.
_base_ = './retinanet_r50_nasfpn-7x256-dropblock_crop1024-150e_coco.py'

model = dict(neck=dict(out_channels=384), bbox_head=dict(in_channels=384, feat_channels=384))
