# 50 epochs with a cosine, for AmoebaNet at 1280x1280, where steps were not stable (section 4.1).
_base_ = './schedule_50e.py'

param_scheduler = [
    # 500 steps from 0.0067.
    dict(type='LinearLR', start_factor=0.0067 / 0.08, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=50, T_max=50, eta_min=0,
         convert_to_iter_based=True),
]
