# COCO at 1024x1024; see coco_crop640.py.
_base_ = './coco_crop640.py'

image_size = (1024, 1024)
_base_.train_pipeline[2].scale = image_size  # RandomResize
_base_.train_pipeline[3].crop_size = image_size  # RandomCrop
_base_.test_pipeline[1].scale = image_size  # Resize
_base_.train_dataloader.dataset.pipeline = _base_.train_pipeline
_base_.val_dataloader.dataset.pipeline = _base_.test_pipeline
_base_.test_dataloader.dataset.pipeline = _base_.test_pipeline
