"""The neck in place of the FPN of other detectors: a training step and a prediction, at odd sizes."""
import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.engine.preflight import check_model
from mmnasfpn.models.necks import NASFPN
from tests.conftest import REPO

#: Config, and what replaces its neck; None where it is a config of ours, which has done so.
DETECTORS = {
    'Faster R-CNN': ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', dict(num_outs=5)),
    'Cascade R-CNN': ('mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py', dict(num_outs=5)),
    'Mask R-CNN': ('mask-rcnn_r50_nasfpn-3x256-gn_1x_coco.py', None),
    'Mask R-CNN, four levels': ('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', dict(
        num_outs=4, genotype='nasfpn_4_levels')),
    'FCOS': ('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', dict(num_outs=5, start_level=1)),
    'ATSS': ('atss_r50_nasfpn-3x256-gn_1x_coco.py', None),
    'ATSS, six levels': ('mmdet::atss/atss_r50_fpn_1x_coco.py', dict(
        num_outs=6, genotype='nasfpn_6_levels')),
    'GFL': ('mmdet::gfl/gfl_r50_fpn_1x_coco.py', dict(num_outs=5, start_level=1)),
    'RTMDet': ('rtmdet_tiny_nasfpn-3x96_8xb32-300e_coco.py', None),
    'RetinaNet': ('retinanet_r50_nasfpn-7x256-gn_1xb8-crop640-50e_coco.py', None),
}
SIZES = [(117, 155), (101, 133)]  # (rows, columns) of two images of one batch


def build(name, tmp_path):
    config, neck = DETECTORS[name]
    path = tmp_path / 'child.py'
    base = config if '::' in config else str(REPO / 'configs/nasfpn' / config)
    path.write_text(f'_base_ = {base!r}\n')
    cfg = Config.fromfile(path).model
    init_default_scope('mmdet')
    if neck is not None:
        cfg.neck = dict(type='mmnasfpn.NASFPN', in_channels=[256, 512, 1024, 2048], out_channels=256,
                        stack_times=2, **neck)
    if neck is not None and neck['num_outs'] == 4:
        cfg.rpn_head.anchor_generator.strides = [4, 8, 16, 32]
    elif neck is not None and neck['num_outs'] == 6:
        cfg.bbox_head.anchor_generator.strides = [4, 8, 16, 32, 64, 128]
    if cfg.backbone.type == 'ResNet':  # small, for the test's sake
        cfg.backbone.update(depth=18, base_channels=8)
        cfg.neck.in_channels = [8, 16, 32, 64]
    cfg.backbone.init_cfg = None
    cfg.data_preprocessor.pad_size_divisor = 1
    model = MODELS.build(cfg)
    assert isinstance(model.neck, NASFPN)
    check_model(model)
    return model


@pytest.mark.parametrize('name', DETECTORS)
def test_trains_a_step_and_predicts_at_odd_sizes(name, tmp_path):
    torch.manual_seed(0)
    model = build(name, tmp_path)
    data = demo_mm_inputs(2, [[3, *size] for size in SIZES], num_classes=3, num_items=[2, 3],
                          with_mask='Mask' in name)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = {key: p.detach().clone() for key, p in model.neck.named_parameters()}
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    loss, _ = model.parse_losses(losses)
    assert loss.isfinite()
    loss.backward()
    optimizer.step()
    for key, p in model.neck.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.isfinite().all(), key
    assert any((p != before[key]).any() for key, p in model.neck.named_parameters())
    model.train(False)
    inputs = model.data_preprocessor(data, False)
    assert inputs['inputs'].shape[-2:] == SIZES[0]  # nothing is padded for the neck's sake
    with torch.no_grad():
        samples = model(**inputs, mode='predict')
    assert [tuple(sample.img_shape) for sample in samples] == SIZES
    for sample, (height, width) in zip(samples, SIZES, strict=True):
        boxes = sample.pred_instances.bboxes
        assert boxes.isfinite().all()
        assert (boxes >= 0).all() and (boxes <= boxes.new_tensor([width, height, width, height])).all()


def test_a_head_made_for_other_levels_is_named(tmp_path):
    model = build('Mask R-CNN, four levels', tmp_path)
    model.neck = NASFPN([8, 16, 32, 64], 256, 5, 1)
    with pytest.raises(ValueError, match='rpn_head: strides .* is 4, but the num_outs of the neck is 5'):
        check_model(model)
