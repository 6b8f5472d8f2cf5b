"""Folding leaves what a model computes."""
import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmnasfpn.models.fold import fold_norms
from tests.conftest import REPO

CONFIGS = {'retinanet_r18-w16_nasfpn-3x64_7e_shapes': 0,
           'retinanet_amoebanet-n3f32_nasfpn-3x64_7e_shapes': 4,
           'retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_7e_shapes': 16,
           'retinanet_mobilenetv2_nasfpn-3x64_finetune_bccd': 0}  # padded as TensorFlow does


def norms_of(model):
    return [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]


def with_statistics(model):
    """Give each batch normalisation statistics and weights of its own."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / 4)
    return model


def build(config, **changes):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    cfg = Config.fromfile(REPO / f'configs/nasfpn/{config}.py').model
    return with_statistics(MODELS.build({**cfg, **changes}).eval())


def check_folding(model, memory_format=torch.contiguous_format):
    """Fold a copy of a model and compare what it computes."""
    folded = copy.deepcopy(model)
    assert fold_norms(folded) is folded
    folded.to(memory_format=memory_format)
    image = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        found, expected = (each(image, mode='tensor') for each in (folded, model))
    for maps, expected_maps in zip(found, expected, strict=True):
        for x, y in zip(maps, expected_maps, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4 * y.abs().max().item())
    assert not norms_of(folded.neck)
    return folded


@pytest.mark.parametrize(('config', 'num_left'), CONFIGS.items())
def test_a_folded_detector_computes_the_same(config, num_left):
    # Those that follow two convolutions, or one in another module, stay.
    assert len(norms_of(check_folding(build(config)))) == num_left


def test_a_convolution_of_several_norms_becomes_several():
    first, second = (nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)) for _ in range(2))
    second[0] = first[0]
    model = with_statistics(nn.ModuleList([first, second]).eval())
    x = torch.rand(1, 1, 2, 2)
    expected = [branch(x) for branch in model]
    fold_norms(model)
    assert model[0][0] is not model[1][0]
    for branch, y in zip(model, expected, strict=True):
        torch.testing.assert_close(branch(x), y)


def test_exits_that_share_a_head_stay_right_when_the_model_is_converted():
    model = build('retinanet_r18-w16_nasfpn-3x64_7e_shapes', type='mmnasfpn.AnytimeDetector')
    for exit_stack in (1, 3):
        model.test_cfg.exit_stack = exit_stack
        check_folding(model, torch.channels_last)


def test_what_is_folded_is_evaluated():
    assert not fold_norms(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))).training
