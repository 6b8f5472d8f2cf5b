"""Detectors of random weights that find many boxes."""
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

SIZES = [(128, 128), (101, 133), (64, 200)]  # of images; the second is no multiple of 32
LARGER_SIZES = [(128, 128), (161, 133), (100, 230)]


def make_lively(detector, scale=0.15):
    """Let it find many boxes, of scores that are far apart."""
    torch.manual_seed(0)
    norms = [module for module in detector.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # takes what it sees
    with torch.no_grad():
        for parameter in detector.bbox_head.parameters():
            parameter.normal_(0, scale)
        detector.train()(torch.randn(4, 3, 160, 160), mode='tensor')
    return detector.eval()


def images_of(size, number=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (number, 3, *size), generator=generator, dtype=torch.uint8)


def detect(detector, images, scale_factor=(1.0, 1.0), size=None):
    samples = [DetDataSample(metainfo=dict(img_shape=size or tuple(image.shape[1:]),
                                           ori_shape=tuple(image.shape[1:]), scale_factor=scale_factor))
               for image in images]
    with torch.no_grad():
        return [sample.pred_instances
                for sample in detector.test_step(dict(inputs=list(images), data_samples=samples))]


def assert_same(expected, boxes, scores, labels):
    """Compare with what a model returns for one image, whose rows are filled up.

    Where scores are as good as equal, the order is free.
    """
    boxes, scores, labels = (torch.as_tensor(x) for x in (boxes, scores, labels))
    number = len(expected)
    assert number > 20
    assert (labels[number:] == -1).all() and not scores[number:].any() and not boxes[number:].any()
    torch.testing.assert_close(scores[:number], expected.scores, atol=1e-5, rtol=1e-4)
    distance = (boxes[:number, None] - expected.bboxes).abs().amax(-1)  # (ours, theirs)
    distance += 1e3 * (labels[:number, None] != expected.labels)
    distance += 1e3 * ((scores[:number, None] - expected.scores).abs() > 1e-4)
    assert distance.amin(0).max() < 2e-3
    assert distance.amin(1).max() < 2e-3


def detector_of(cfg, checkpoint):
    detector = MODELS.build(cfg.model)
    detector.load_state_dict(torch.load(checkpoint)['state_dict'])
    return detector.eval()
