_base_ = ['./gn.py']

model = dict(bbox_head=dict(
    reg_decoded_bbox=False,
    loss_bbox=dict(_delete_=True, type='mmdet.SmoothL1Loss', beta=0.1, loss_weight=1.0)))
