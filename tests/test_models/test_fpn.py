"""The FPN baseline: against a reference, placement of the normalisation, any size."""
import pytest
import torch
import torch.nn.functional as F

from mmnasfpn.models.necks import FPN
from tests.test_models.test_nasfpn import make_inputs, randomize


def reference(state, maps, num_outs, eps):
    """Make the pyramid in evaluation from a state dict, by the description of section 3's baseline."""
    def conv(x, name, stride=1):
        if f'{name}.conv.weight' in state:
            weight = state[f'{name}.conv.weight']
            return F.conv2d(x, weight, state[f'{name}.conv.bias'], stride, weight.shape[-1] // 2)
        depthwise, pointwise = (state[f'{name}.{part}_conv.conv.weight']
                                for part in ('depthwise', 'pointwise'))
        x = F.conv2d(x, depthwise, None, stride,
                     depthwise.shape[-1] // 2, groups=x.shape[1])
        return F.conv2d(x, pointwise, state[f'{name}.pointwise_conv.conv.bias'])

    laterals = [conv(x, f'laterals.{i}') for i, x in enumerate(maps)]
    merged = [laterals[-1]]
    for lateral in laterals[-2::-1]:
        height, width = lateral.shape[2:]
        up = merged[0].repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :height, :width]
        merged.insert(0, lateral + up)
    outs = [conv(x, f'output_convs.{i}') for i, x in enumerate(merged)]
    p5 = outs[-1]
    if num_outs > len(outs):
        outs.append(conv(p5, 'coarser_convs.0', 2))
    while num_outs > len(outs):
        outs.append(conv(outs[-1].clamp(min=0), f'coarser_convs.{len(outs) - len(maps)}', 2))
    return [
        (x - state[f'norms.{i}.running_mean'][:, None, None])
        / (state[f'norms.{i}.running_var'][:, None, None] + eps).sqrt()
        * state[f'norms.{i}.weight'][:, None, None] + state[f'norms.{i}.bias'][:, None, None]
        for i, x in enumerate(outs)]


@pytest.mark.parametrize('separable', [False, True])
@pytest.mark.parametrize('num_outs', [3, 4, 5])
@pytest.mark.parametrize('size', [(32, 32), (25, 14), (1, 3)])
def test_equals_the_reference(size, num_outs, separable):
    torch.manual_seed(0)
    neck = randomize(FPN([3, 4, 5], 6, num_outs, separable=separable)).double().eval()
    maps = make_inputs([3, 4, 5], *size, batch=2, dtype=torch.float64)
    expected = reference(neck.state_dict(), maps, num_outs, 1e-4)
    with torch.no_grad():
        outs = neck(maps)
    assert len(outs) == num_outs
    for out, other in zip(outs, expected, strict=True):
        torch.testing.assert_close(out, other, rtol=1e-9, atol=1e-9)


def test_coarser_levels_are_made_of_what_is_not_normalised_yet():
    neck = FPN([4, 4, 4], 4, 5).eval()
    maps = make_inputs([4, 4, 4], 32, 32)
    before = neck(maps)
    neck.norms[2].weight.data.mul_(3)
    after = neck(maps)
    assert not torch.equal(before[2], after[2])
    assert torch.equal(before[3], after[3]) and torch.equal(before[4], after[4])


def test_has_no_normalisation_but_one_per_output():
    neck = FPN([4, 4, 4], 4, 5)
    norms = [m for m in neck.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 5 and set(norms) == set(neck.norms)
    assert (norms[0].momentum, norms[0].eps) == (0.003, 1e-4)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    neck = FPN([4, 5, 6], 8, 5, start_level=0).train()
    outs = neck(make_inputs([4, 5, 6], 33, 47, batch=2))
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_start_and_end_level_choose_backbone_maps():
    neck = FPN([3, 4, 5, 6], 4, 4, start_level=1, end_level=2).eval()
    assert [conv.conv.in_channels for conv in neck.laterals] == [4, 5]
    assert [x.shape[-1] for x in neck(make_inputs([3, 4, 5, 6], 64, 64))] == [32, 16, 8, 4]


@pytest.mark.parametrize(('kwargs', 'words'), [
    (dict(num_outs=2), 'take 3 backbone maps.*num_outs is 2'),
    (dict(out_channels=0), 'out_channels is 0'), (dict(norm_cfg=None), 'norm_cfg is None')])
def test_impossible_arguments_are_refused_by_name(kwargs, words):
    with pytest.raises(ValueError, match=words):
        FPN(**{**dict(in_channels=[4, 4, 4], out_channels=4, num_outs=5), **kwargs})


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match='got 2 maps.*names 3'):
        FPN([4, 4, 4], 4, 5)(make_inputs([4, 4], 16, 16))
