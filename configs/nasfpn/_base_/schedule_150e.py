# 150 epochs for DropBlock, which takes longer to train (section 4.1): a tenth after 120 and 140.
_base_ = './schedule_50e.py'

train_cfg = dict(max_epochs=150)
param_scheduler = [
    # 500 steps from 0.0067.
    dict(type='LinearLR', start_factor=0.0067 / 0.08, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=150, milestones=[120, 140], gamma=0.1),
]
