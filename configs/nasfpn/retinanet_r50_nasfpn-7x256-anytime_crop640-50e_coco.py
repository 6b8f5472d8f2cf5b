# R-50, 7 @ 256 at 640x640, with a head after each of the 7 stacks: exits after any of them.
_base_ = './retinanet_r50_nasfpn-7x256_crop640-50e_coco.py'

model = dict(
    type='mmnasfpn.AnytimeDetector',
    # The mean over the exits: SGD's learning rate is the paper's, for one head's losses.
    loss_weights=[1 / 7] * 7)
