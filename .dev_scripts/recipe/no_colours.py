_base_ = ['./gn.py']

train_dataloader = dict(dataset=dict(
    pipeline=[transform for transform in _base_.train_pipeline
              if transform['type'] != 'mmdet.PhotoMetricDistortion']))
