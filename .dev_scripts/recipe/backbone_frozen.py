_base_ = ['../../configs/nasfpn/retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py']

model = dict(backbone=dict(frozen_stages=7))
