"""The Lite head: one shared tower of separable convolutions, one normalisation per level."""
import math

import pytest
import torch
import torch.nn.functional as F
from mmdet.utils import register_all_modules
from mmengine.logging import MMLogger

from mmnasfpn.models.dense_heads import LiteRetinaHead
from tests.test_models.test_nasfpn import make_inputs, randomize


@pytest.fixture(autouse=True)
def _mmdet_scope():
    register_all_modules()


def loss_cfgs():
    return dict(loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True))


def make_head(**kwargs):
    return LiteRetinaHead(**{**dict(num_classes=5, in_channels=8, **loss_cfgs()), **kwargs})


def test_equals_a_tower_written_out():
    torch.manual_seed(0)
    head = randomize(make_head()).double().eval()
    maps = make_inputs([8] * 4, 10, 7, batch=2, dtype=torch.float64)
    scores, deltas = head(maps)
    state = head.state_dict()

    def separable(x, name):
        weight = state[f'{name}.depthwise_conv.conv.weight']
        x = F.conv2d(x, weight, state.get(f'{name}.depthwise_conv.conv.bias'), padding=1, groups=8)
        return F.conv2d(x, state[f'{name}.pointwise_conv.conv.weight'],
                        state.get(f'{name}.pointwise_conv.conv.bias'))

    for level, x in enumerate(maps):
        for index in range(4):
            x = separable(x, f'convs.{index}')
            norm = {key: state[f'norms.{level}.{index}.{key}'][:, None, None]
                    for key in ('running_mean', 'running_var', 'weight', 'bias')}
            x = (x - norm['running_mean']) / (norm['running_var'] + 1e-5).sqrt()
            x = (x * norm['weight'] + norm['bias']).clamp(0, 6)
        torch.testing.assert_close(scores[level], separable(x, 'retina_cls'))
        torch.testing.assert_close(deltas[level], separable(x, 'retina_reg'))
        assert scores[level].shape[1] == 9 * 5 and deltas[level].shape[1] == 9 * 4


def test_has_the_parameters_counted_by_hand():
    head = make_head(num_classes=90, in_channels=64)
    tower = 4 * (9 * 64 + 64 * 64)
    norms = 4 * 4 * 2 * 64  # levels, convolutions, scale and shift
    scores = 9 * 64 + (64 * 9 * 90 + 9 * 90)
    deltas = 9 * 64 + (64 * 9 * 4 + 9 * 4)
    assert sum(p.numel() for p in head.parameters()) == tower + norms + scores + deltas


def test_each_class_starts_at_a_probability_of_one_in_a_hundred():
    MMLogger.get_current_instance().setLevel('ERROR')
    torch.manual_seed(0)
    head = make_head()
    head.init_weights()
    scores, _ = head([torch.zeros(1, 8, 4, 4)] * 4)
    for score in scores:
        torch.testing.assert_close(score.sigmoid().mean(), torch.tensor(0.01), rtol=0.02, atol=0)
    for conv in (*head.convs, head.retina_cls, head.retina_reg):
        assert math.isclose(conv.pointwise_conv.conv.weight.std().item(), 0.01, rel_tol=0.5)
        # Uniform of variance 1 / 9 for 9 inputs: the depthwise convolutions keep the scale.
        assert math.isclose(conv.depthwise_conv.conv.weight.std().item(), 1 / 3, rel_tol=0.25)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    scores, deltas = head_outs = (head := make_head().train())(make_inputs([8] * 4, 16, 12, batch=2))
    assert len(head_outs) == 2
    sum((x * torch.randn_like(x)).sum() for x in (*scores, *deltas)).backward()
    assert all(p.grad is not None for p in head.parameters())


def test_levels_and_anchors_can_be_others():
    head = make_head(num_ins=2, stacked_convs=0, feat_channels=8, anchor_generator=dict(
        type='mmdet.AnchorGenerator', scales=[4], ratios=[1.0], strides=[16, 32]))
    scores, deltas = head(make_inputs([8, 8], 4, 4))
    assert [x.shape for x in (*scores, *deltas)] == [
        (1, 5, 4, 4), (1, 5, 2, 2), (1, 4, 4, 4), (1, 4, 2, 2)]


@pytest.mark.parametrize(('kwargs', 'words'), [
    (dict(num_ins=0), 'num_ins is 0'), (dict(stacked_convs=-1), 'stacked_convs is -1'),
    (dict(feat_channels=0), 'feat_channels is 0'), (dict(norm_cfg=None), 'norm_cfg is None'),
    (dict(act_cfg=None), 'act_cfg is None')])
def test_impossible_arguments_are_refused_by_name(kwargs, words):
    with pytest.raises(ValueError, match=words):
        make_head(**kwargs)
