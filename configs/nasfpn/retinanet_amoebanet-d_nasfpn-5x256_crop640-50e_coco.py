# AmoebaNet-D, 5 @ 256 at 640x640.
_base_ = './retinanet_amoebanet-d_nasfpn-7x256_crop640-50e_coco.py'

model = dict(neck=dict(stack_times=5))
