# The same training as retinanet_r10-w16_nasfpn-3x32_12e_shapes.py, evaluated on images that no search
# has seen.
_base_ = './retinanet_r10-w16_nasfpn-3x32_12e_shapes.py'

data_root = 'data/shapes-128-test/'
val_dataloader = dict(dataset=dict(
    data_root=data_root, shapes=dict(num_train=1, num_val=600, image_size=128, seed=1)))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
