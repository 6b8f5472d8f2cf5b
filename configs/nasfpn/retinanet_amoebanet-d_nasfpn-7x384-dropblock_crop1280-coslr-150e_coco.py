# AmoebaNet-D, 7 @ 384 with DropBlock at 1280x1280, with a cosine schedule of 150 epochs.
_base_ = './retinanet_amoebanet-d_nasfpn-7x384_crop1280-coslr-50e_coco.py'

# The paper does not give the keep probability; 0.9 is usual.
model = dict(neck=dict(dropblock_cfg=dict(keep_prob=0.9, block_size=3)))
custom_hooks = [dict(type='mmdet.NumClassCheckHook'), dict(type='mmnasfpn.DropBlockRampHook')]
train_cfg = dict(max_epochs=150)
_base_.param_scheduler[1].update(end=150, T_max=150)
