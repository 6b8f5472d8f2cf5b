# COCO at 320x320 for the Lite models, as the object detection API prepares it: a crop of at least three
# quarters of the image, then resized to the square without keeping its ratio.
_base_ = 'mmdet::_base_/datasets/coco_detection.py'

image_size = (320, 320)
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    # 0.866 of each side is 0.75 of the area.
    dict(type='mmdet.RandomCrop', crop_type='relative_range', crop_size=(0.866, 0.866)),
    dict(type='mmdet.Resize', scale=image_size, keep_ratio=False),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='mmdet.Resize', scale=image_size, keep_ratio=False),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
# 16 images on each of 8 GPUs make a batch of 128.
train_dataloader = dict(batch_size=16, num_workers=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
