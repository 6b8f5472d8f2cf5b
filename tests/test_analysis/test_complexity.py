"""Counting of parameters and FLOPs."""
import copy

import pytest
from mmengine.config import Config
from paper_rows import load

from mmnasfpn.analysis.complexity import count_complexity
from tests.conftest import DEMO_CONFIG


def test_flops_are_twice_the_multiply_adds_of_convolutions_counted_by_hand():
    cfg = Config.fromfile(DEMO_CONFIG)
    one, three = (copy.deepcopy(cfg) for _ in range(2))
    one.model.neck.stack_times, three.model.neck.stack_times = 1, 3
    counts = [count_complexity(c, (256, 256)) for c in (one, three)]
    # One stack: 7 cells, each a 3x3 convolution of 64 channels without bias, and BN; one on P3, three on
    # P4 (of them two intermediate), one each on P5, P6 and P7.
    conv = 9 * 64 * 64
    positions = 32**2 + 3 * 16**2 + 8**2 + 4**2 + 2**2
    assert counts[1].params - counts[0].params == 2 * 7 * (conv + 2 * 64)
    assert counts[1].flops - counts[0].flops == 2 * 2 * conv * positions


def test_classes_are_those_asked_for_and_the_config_stays():
    cfg = Config.fromfile(DEMO_CONFIG)
    before = copy.deepcopy(cfg.to_dict())
    few, many = (count_complexity(cfg, (64, 64), n) for n in (3, 13))
    assert cfg.to_dict() == before
    # 9 anchors of 10 more classes, of 3x3 convolutions of 64 channels with bias, at five levels.
    assert many.params - few.params == 90 * (9 * 64 + 1)
    assert many.flops - few.flops == 2 * 90 * 9 * 64 * (8**2 + 4**2 + 2**2 + 1 + 1)
    assert count_complexity(cfg, (64, 64)) == few  # the config's own


def test_operators_without_a_formula_are_listed():
    uncounted = count_complexity(Config.fromfile(DEMO_CONFIG), (64, 64)).uncounted
    assert {'aten.relu_', 'aten.max_pool2d_with_indices', 'aten.sigmoid'} <= set(uncounted)
    assert not any('convolution' in name or name == 'aten.view' for name in uncounted)


@pytest.mark.parametrize('size', [(64, 64), (96, 160)])
def test_two_stage_models_are_counted_too(size):
    cfg = Config.fromfile(DEMO_CONFIG)
    two_stage = load('mmdet::_base_/models/faster-rcnn_r50_fpn')
    two_stage.default_scope = cfg.default_scope
    two_stage.model.backbone.update(depth=18, base_channels=4, init_cfg=None)
    two_stage.model.neck.update(in_channels=[4, 8, 16, 32], out_channels=8)
    two_stage.model.rpn_head.update(in_channels=8, feat_channels=8)
    two_stage.model.roi_head.bbox_roi_extractor.out_channels = 8
    two_stage.model.roi_head.bbox_head.update(in_channels=8, fc_out_channels=16)
    counted = count_complexity(two_stage, size)
    assert counted.flops > 0 and 'mmcv.ops.RoIAlign' in counted.uncounted
    assert counted == count_complexity(two_stage, size)
