_base_ = ['./gn.py']

load, annotate, _, _, *rest = _base_.train_pipeline
resize = dict(type='mmdet.Resize', scale=_base_.image_size, keep_ratio=True)
train_dataloader = dict(dataset=dict(pipeline=[load, annotate, resize, *rest]))
