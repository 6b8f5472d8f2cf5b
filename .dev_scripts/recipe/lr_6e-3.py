_base_ = ['../../configs/nasfpn/retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py']

optim_wrapper = dict(optimizer=dict(lr=6e-3))
