# MobileNetV2, NAS-FPNLite 7 @ 64 at 320x320, with a head after each of the 7 stacks: exits after any of
# them. The 15 cells are of a search of ours: the paper's are not published.
_base_ = './retinanet-lite_mobilenetv2_nasfpnlite-7x64_320-55e_coco.py'

model = dict(
    type='mmnasfpn.AnytimeDetector',
    # The mean over the exits: SGD's learning rate is that for one head's losses.
    loss_weights=[1 / 7] * 7)
