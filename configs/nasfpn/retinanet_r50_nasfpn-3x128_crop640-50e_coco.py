# R-50, 3 @ 128 at 640x640.
_base_ = './retinanet_r50_nasfpn-3x256_crop640-50e_coco.py'

model = dict(neck=dict(out_channels=128), bbox_head=dict(in_channels=128, feat_channels=128))
