# R-50, 7 @ 256 at 640x640; testing writes the submission for test-dev of COCO.
_base_ = './retinanet_r50_nasfpn-7x256_crop640-50e_coco.py'

# `mim test` writes work_dirs/coco_test-dev.bbox.json, which COCO's server evaluates.
test_dataloader = dict(dataset=dict(
    ann_file='annotations/image_info_test-dev2017.json', data_prefix=dict(img='test2017/')))
test_evaluator = dict(
    ann_file='data/coco/annotations/image_info_test-dev2017.json',
    format_only=True,
    outfile_prefix='work_dirs/coco_test-dev')
