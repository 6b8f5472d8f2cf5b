# R-18 of width 16, 5 @ 32, with GN in neck and head, on generated shapes with 300 held-out images: the
# plain detector to compare the anytime one with.
_base_ = './retinanet_r18-w16_nasfpn-7x32-gn_24e_shapes.py'

shapes = dict(num_train=400, num_val=300, image_size=256, seed=0)
data_root = 'data/shapes-300-val/'

model = dict(neck=dict(stack_times=5))
train_dataloader = dict(dataset=dict(data_root=data_root, shapes=shapes))
val_dataloader = dict(dataset=dict(data_root=data_root, shapes=shapes))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
