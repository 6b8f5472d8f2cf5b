# 55 epochs in batches of 128, about 50,000 steps, for the Lite models: the object detection API's
# schedule of later FPNLite models. The paper names only the API (section 4.3).
_base_ = './schedule_50e.py'

train_cfg = dict(max_epochs=55)
optim_wrapper = dict(optimizer=dict(weight_decay=4e-5))
param_scheduler = [
    # 1,000 steps from 0.0267.
    dict(type='LinearLR', start_factor=0.0267 / 0.08, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=55, T_max=55, eta_min=0,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=128)
