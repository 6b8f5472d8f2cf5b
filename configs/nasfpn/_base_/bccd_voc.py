# The same images and boxes, read from Pascal VOC's XML files; the images are beside the VOC folder.
_base_ = './bccd.py'

voc = dict(
    type='mmdet.XMLDataset',
    img_subdir='../images',  # of sub_data_root; JPEGImages in an ordinary VOC folder
    data_prefix=dict(_delete_=True, sub_data_root='voc/'))
train_dataloader = dict(dataset=dict(
    **voc,
    ann_file='voc/ImageSets/Main/trainval.txt',
    # MMDetection leaves out empty boxes of COCO files by itself, but those of VOC only if told to.
    filter_cfg=dict(bbox_min_size=1)))
# There is no annotation file to evaluate with: the boxes go along with the images.
test_pipeline = [*_base_.test_pipeline[:-1], dict(
    type='mmdet.PackDetInputs',
    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'))]
val_dataloader = dict(dataset=dict(
    **voc, ann_file='voc/ImageSets/Main/test.txt', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=None)
test_evaluator = val_evaluator
