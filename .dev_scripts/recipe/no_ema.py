_base_ = ['../../configs/nasfpn/retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py']

custom_hooks = [dict(type='mmdet.NumClassCheckHook')]
