# The same recipe with MMDetection's own NASFPN, which wants images padded to 128, to compare with.
_base_ = './retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py'

model = dict(data_preprocessor=dict(pad_size_divisor=128), neck=dict(type='mmdet.NASFPN'))
