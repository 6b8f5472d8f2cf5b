_base_ = ['./gn.py']

width, height = _base_.image_size
load, annotate, _, _, *rest = _base_.train_pipeline
resize = dict(type='mmdet.Resize', scale=_base_.image_size, keep_ratio=True)
train_dataloader = dict(dataset=dict(
    _delete_=True,
    type='mmdet.MultiImageMixDataset',
    dataset={**_base_.train_dataloader['dataset'], 'pipeline': [load, annotate, resize]},
    pipeline=[
        dict(type='mmdet.Mosaic', img_scale=_base_.image_size),
        # A window of the size of an image, out of four.
        dict(type='mmdet.RandomAffine', max_rotate_degree=0, max_shear_degree=0,
             scaling_ratio_range=(0.8, 1.25), border=(-width // 2, -height // 2)),
        *rest,
    ]))
