"""Small heads of ours and of MMDetection, what they predict, and ground truth; what they dispatch."""
import copy

import numpy as np
import torch
from mmdet.models import dense_heads
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch.utils._python_dispatch import TorchDispatchMode

from mmnasfpn.models.dense_heads import RetinaHead

STRIDES = [8, 16, 32]
FOCAL = dict(type='FocalLoss', use_sigmoid=True, gamma=1.5)
SMOOTH_L1 = dict(type='SmoothL1Loss', beta=0.1, loss_weight=1.25)

#: Ops that wait for the device.
WAITS = {'_local_scalar_dense', 'nonzero', 'masked_select', '_unique2', 'equal', 'is_nonzero'}
#: Ops that launch nothing: views and allocations.
FREE = {'empty', 'view', '_unsafe_view', 'transpose', 'permute', 'expand', 'slice', 'select', 'detach',
        'alias', 'as_strided', 'unsqueeze', 'squeeze', 't', 'split', 'split_with_sizes', 'unbind',
        'new_empty', 'empty_like', 'new_empty_strided'}


class Count(TorchDispatchMode):
    """Collect the names of the ops that reach the dispatcher."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.names += [] if name in FREE else [name]
        return func(*args, **(kwargs or {}))

    @property
    def waits(self):
        return [name for name in self.names if name in WAITS]


def make_pair(ours=RetinaHead, theirs=dense_heads.RetinaHead, assigner=None, **kwargs):
    """Build our head and MMDetection's with the same weights."""
    register_all_modules()
    train_cfg = ConfigDict({**dict(allowed_border=-1, pos_weight=-1), **kwargs.pop('train_cfg', {})})
    train_cfg.assigner = {**dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
                          **(assigner or {})}
    test_cfg = ConfigDict(nms_pre=1000, min_bbox_size=0, score_thr=0.05, max_per_img=100,
                          nms=dict(type='nms', iou_threshold=0.5))
    anchors = dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=2, ratios=[0.5, 1.0],
                   strides=STRIDES)
    kwargs = {**dict(num_classes=3, in_channels=4, feat_channels=4, stacked_convs=1, loss_cls=FOCAL,
                     loss_bbox=SMOOTH_L1, anchor_generator=anchors), **kwargs}
    heads = [cls(train_cfg=copy.deepcopy(train_cfg), test_cfg=test_cfg, **copy.deepcopy(kwargs))
             for cls in (ours, theirs)]
    heads[0].load_state_dict(heads[1].state_dict())
    return heads


def make_maps(head, size, batch, seed=0, dtype=torch.float64):
    """Return random outputs of a head for images of a size."""
    random = torch.Generator().manual_seed(seed)

    def maps(channels):
        return [torch.randn(batch, head.num_base_priors * channels, -(-size[0] // stride),
                            -(-size[1] // stride), generator=random, dtype=dtype).requires_grad_()
                for stride in STRIDES]
    return maps(head.cls_out_channels), maps(4)


def make_boxes(random, number, size, is_box_type=False):
    """Return boxes of which some are equal, and some degenerate."""
    grid = random.choice([1, 4, 8])
    low = random.integers(0, (size[1], size[0]), (number, 2)) // grid * grid
    sides = random.integers(0, 70, (number, 2)) // grid * grid
    boxes = np.concatenate([low, low + sides], 1).astype(np.float32)
    boxes += random.random(boxes.shape, np.float32) * random.choice([0, 1])
    if number:
        boxes = boxes[random.integers(0, number, number)]
    boxes = torch.from_numpy(boxes)
    return HorizontalBoxes(boxes) if is_box_type else boxes


def make_truth(seed, counts, size, ignored=None, is_box_type=False):
    """Return instances, meta information and regions to ignore of images, each padded in another way."""
    random = np.random.default_rng(seed)
    instances, metas, regions = [], [], []
    for count in counts:
        shape = [int(random.integers(pixels // 2, pixels + 1)) for pixels in size]
        pad = [int(random.integers(own, pixels + 1)) for own, pixels in zip(shape, size, strict=True)]
        instances.append(InstanceData(bboxes=make_boxes(random, count, shape, is_box_type),
                                      labels=torch.from_numpy(random.integers(0, 3, count))))
        metas.append(dict(img_shape=tuple(shape), pad_shape=tuple(pad)))
        number = ignored if ignored is None else int(random.integers(0, ignored + 1))
        regions.append(number and InstanceData(bboxes=make_boxes(random, number, shape, is_box_type)))
    regions = [None if own is None or own == 0 else own for own in regions]
    return instances, metas, None if ignored is None else regions


def make_usual_truth(counts=(3, 0), size=(64, 96), seed=0):
    """Return boxes of at least 8 pixels in images without padding."""
    instances, metas, _ = make_truth(seed, counts, size)
    for own, meta in zip(instances, metas, strict=True):
        own.bboxes[:, 2:] += 8
        meta.update(img_shape=size, pad_shape=size, scale_factor=(1.0, 1.0))
    return instances, metas
