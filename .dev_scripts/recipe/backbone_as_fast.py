_base_ = ['../../configs/nasfpn/retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py']

optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
