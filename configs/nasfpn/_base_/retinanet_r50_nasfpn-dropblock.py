# DropBlock with blocks of 3x3 (section 4.4). The paper does not give the keep probability; 0.9 is usual.
_base_ = './retinanet_r50_nasfpn.py'

model = dict(neck=dict(dropblock_cfg=dict(keep_prob=0.9, block_size=3)))
