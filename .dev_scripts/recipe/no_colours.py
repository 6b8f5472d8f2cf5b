_base_ = ['../../configs/nasfpn/retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd.py']

train_dataloader = dict(dataset=dict(
    pipeline=[transform for transform in _base_.train_pipeline
              if transform['type'] != 'mmdet.PhotoMetricDistortion']))
