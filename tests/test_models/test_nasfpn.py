"""The neck: exact against a reference, at any size and level count.

What the authors' code returned is compared in ``tests/test_converters``.
"""
import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmnasfpn.genotypes import Genotype, GenotypeError, MergingCell, get_genotype
from mmnasfpn.models.necks import NASFPN
from tests.reference_neck import ReferenceNeck
from tests.strategies import genotypes


def make_inputs(channels, height, width, batch=1, dtype=torch.float32):
    """Return maps of consecutive levels, the first of the given size."""
    maps = []
    for c in channels:
        maps.append(torch.randn(batch, c, height, width, dtype=dtype))
        height, width = -(-height // 2), -(-width // 2)
    return maps


def randomize(module):
    """Give weights and BN statistics values that no initialisation has."""
    for name, value in module.state_dict().items():
        if name.endswith('running_var') or (name.endswith('weight') and value.dim() == 1):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.normal_(0, 0.3)
    return module


@settings(max_examples=25, deadline=None)
@given(genotype=genotypes(), stacks=st.integers(1, 3), inputs=st.integers(1, 6),
       size=st.tuples(st.integers(1, 24), st.integers(1, 24)), separable=st.booleans(),
       norm=st.booleans(), seed=st.integers(0, 2**31))
def test_equals_the_reference_on_random_genotypes_and_sizes(
        genotype, stacks, inputs, size, separable, norm, seed):
    torch.manual_seed(seed)
    channels = [3, 2, 4, 1, 2, 3][:min(inputs, genotype.num_levels)]
    norm_cfg = dict(type='BN', eps=1e-4) if norm else None
    neck = randomize(NASFPN(channels, 4, genotype.num_levels, stacks, genotype=genotype,
                            separable=separable, norm_cfg=norm_cfg)).double().eval()
    maps = make_inputs(channels, *size, dtype=torch.float64)
    expected = ReferenceNeck(genotype.to_dict(), neck.state_dict(), stacks, 1e-4)(maps)
    with torch.no_grad():
        pyramids = list(neck.iter_pyramids(maps))
    assert len(pyramids) == stacks
    for pyramid, reference in zip(pyramids, expected, strict=True):
        for level, out in zip(genotype.levels, pyramid, strict=True):
            error = np.abs(out.numpy() - reference[level]).max()
            assert error <= 1e-9 * max(1, np.abs(reference[level]).max())


@settings(max_examples=25, deadline=None)
@given(genotype=genotypes(), stacks=st.integers(1, 3), separable=st.booleans(),
       size=st.tuples(st.integers(33, 75), st.integers(33, 75)), seed=st.integers(0, 2**31))
def test_shapes_are_right_values_finite_and_every_parameter_gets_a_gradient(
        genotype, stacks, separable, size, seed):
    torch.manual_seed(seed)
    neck = NASFPN([4, 5, 6], 8, genotype.num_levels, stacks, genotype=genotype, separable=separable)
    maps = make_inputs([4, 5, 6], *size, batch=2)
    outs = neck.train()(maps)
    height, width = size
    for out in outs:
        assert out.shape == (2, 8, height, width)
        assert out.isfinite().all()
        height, width = -(-height // 2), -(-width // 2)
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    for name, parameter in neck.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_no_parameter_of_the_paper_neck_has_a_zero_gradient():
    torch.manual_seed(0)
    neck = NASFPN([4, 5, 6], 8, 5, 3).train()
    outs = neck(make_inputs([4, 5, 6], 64, 64, batch=4))
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    assert all(p.grad.abs().max() > 0 for p in neck.parameters())


def test_loose_ends_are_added_to_the_output_of_their_level():
    neck = NASFPN([4, 4, 4], 4, 5, 1).eval()
    p5 = neck.pyramids[0].cells[4]
    seen = {}
    p5.register_forward_hook(lambda module, args, out: seen.update(loose_ends=args[1]))
    c5 = neck.laterals[2]
    c5.register_forward_hook(lambda module, args, out: seen.update(c5=out))
    neck(make_inputs([4, 4, 4], 16, 16))
    assert [x is seen['c5'] for x in seen['loose_ends']] == [True]


def test_coarser_levels_are_pooled_from_the_projected_map_not_projected_again():
    neck = NASFPN([4, 4, 4], 4, 5, 1)
    assert len(neck.laterals) == 3
    neck.eval()
    _, _, p5, p6, p7 = neck._input_pyramid(make_inputs([4, 4, 4], 20, 12))
    torch.testing.assert_close(p6, torch.nn.functional.max_pool2d(p5, 2, ceil_mode=True))
    torch.testing.assert_close(p7, torch.nn.functional.max_pool2d(p6, 2, ceil_mode=True))


def test_outputs_come_without_a_relu():
    torch.manual_seed(0)
    assert all(out.min() < 0 for out in NASFPN([4, 4, 4], 8, 5, 2)(
        make_inputs([4, 4, 4], 64, 64, batch=2)))


def test_inputs_stay_as_they_are():
    neck = NASFPN([4, 4, 4], 4, 5, 2)
    maps = make_inputs([4, 4, 4], 33, 21, batch=2)
    before = [x.clone() for x in maps]
    neck(maps)
    neck(tuple(maps))
    assert len(maps) == 3
    assert all(torch.equal(x, y) for x, y in zip(maps, before, strict=True))


def test_iter_pyramids_runs_a_stack_only_when_asked_and_ends_with_what_forward_returns():
    neck = randomize(NASFPN([4, 4, 4], 4, 5, 3)).eval()
    for weight in neck.pyramids[2].parameters():
        weight.data.fill_(float('nan'))
    maps = make_inputs([4, 4, 4], 16, 16)
    pyramids = neck.iter_pyramids(maps)
    assert all(x.isfinite().all() for _ in range(2) for x in next(pyramids))
    last = next(pyramids)
    assert all(x.isnan().all() for x in last)
    assert next(pyramids, None) is None


@pytest.mark.parametrize(('training', 'dynamic'), [(True, False), (False, False), (False, True)])
def test_is_one_graph_for_the_compiler(training, dynamic):
    torch.manual_seed(0)
    neck = NASFPN([4, 5, 6], 8, 5, 1).train(training)
    compiled = torch.compile(copy.deepcopy(neck), fullgraph=True, backend='eager', dynamic=dynamic)
    maps = make_inputs([4, 5, 6], 33, 20, batch=2)
    for ours, theirs in zip(neck(maps), compiled(maps), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_is_exported_without_a_break():
    torch.manual_seed(0)
    neck = randomize(NASFPN([4, 5, 6], 8, 5, 2)).eval()
    maps = make_inputs([4, 5, 6], 33, 20)
    program = torch.export.export(neck, (maps,)).module()
    for ours, theirs in zip(neck(maps), program(maps), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_start_and_end_level_choose_backbone_maps():
    torch.manual_seed(0)
    neck = NASFPN([3, 4, 5, 6], 4, 5, 1, start_level=1, end_level=2).eval()
    assert [conv.conv.in_channels for conv in neck.laterals] == [4, 5]
    outs = neck(make_inputs([3, 4, 5, 6], 64, 64))
    assert [x.shape[-1] for x in outs] == [32, 16, 8, 4, 2]


def test_is_built_from_a_config_by_its_scoped_name_with_the_arguments_of_mmdet():
    from mmengine.registry import MODELS
    neck = MODELS.build(dict(
        type='mmnasfpn.NASFPN', in_channels=[4, 8, 16, 32], out_channels=8, num_outs=5,
        stack_times=2, start_level=1, end_level=-1, norm_cfg=dict(type='BN', requires_grad=True),
        init_cfg=dict(type='Caffe2Xavier', layer='Conv2d'),
        genotype=get_genotype('nasfpn').to_dict()))
    neck.init_weights()
    assert isinstance(neck, NASFPN) and neck.genotype == get_genotype('nasfpn')
    assert neck.laterals[0].bn.momentum == 0.1


def test_default_normalisation_is_the_authors():
    bn = NASFPN([4], 4, 5, 1).laterals[0].bn
    assert (bn.momentum, bn.eps) == (0.003, 1e-4)


def test_equal_levels_in_gp_take_the_first_input_as_the_coarse_one():
    def neck(inputs):
        cells = [MergingCell(1, 'sum', (0, 1)), MergingCell(1, 'gp', inputs, True),
                 MergingCell(0, 'sum', (0, 4), True), MergingCell(2, 'sum', (2, 4), True)]
        return NASFPN([4, 4, 4], 4, 3, 1, genotype=Genotype(cells, 0, 2)).eval()

    one, other = neck((1, 3)), neck((3, 1))
    other.load_state_dict(dict(randomize(one).state_dict()))
    maps = make_inputs([4, 4, 4], 8, 8)
    assert not torch.allclose(one(maps)[1], other(maps)[1])


@pytest.mark.parametrize(('kwargs', 'words'), [
    (dict(num_outs=4), 'num_outs is 4.*5 levels'),
    (dict(stack_times=0), 'stack_times is 0'),
    (dict(stack_times=1.0), 'stack_times is 1.0'),
    (dict(out_channels=-1), 'out_channels is -1'),
    (dict(in_channels=8), 'in_channels is 8'),
    (dict(in_channels=[8, '8']), r"in_channels\[1\] is '8'"),
    (dict(in_channels=[8] * 6), 'take 6 backbone maps.*num_outs is 5'),
    (dict(in_channels=[]), 'start_level is 0'),
    (dict(num_outs='5'), "num_outs is '5'"),
    (dict(start_level=1.0), 'start_level is 1.0'),
    (dict(end_level=None), 'end_level is None'),
    (dict(start_level=3), r'start_level is 3.*0\.\.2'),
    (dict(start_level=-1), 'start_level is -1'),
    (dict(start_level=1, end_level=0), r'end_level is 0.*1\.\.2'),
    (dict(end_level=3), 'end_level is 3'),
    (dict(dropblock_cfg=0.9), 'dropblock_cfg is 0.9'),
    (dict(dropblock_cfg=dict(keep_prob=2)), 'keep_prob is 2'),
])
def test_impossible_arguments_are_refused_by_name(kwargs, words):
    with pytest.raises(ValueError, match=words):
        NASFPN(**{**dict(in_channels=[4, 4, 4], out_channels=4, num_outs=5, stack_times=1), **kwargs})


def test_a_wrong_genotype_is_refused():
    with pytest.raises(GenotypeError, match='nosuch'):
        NASFPN([4], 4, 5, 1, genotype='nosuch')


def _with(maps, index, x):
    return [*maps[:index], x, *maps[index + 1:]]


@pytest.mark.parametrize(('break_maps', 'words'), [
    (lambda maps: maps[:2], 'got 2 maps.*names 3'),
    (lambda maps: _with(maps, 1, torch.rand(2, 7, 8, 8)), r'map 1 .*7, 8, 8.*in_channels\[1\] is 4'),
    (lambda maps: _with(maps, 1, torch.rand(4, 8, 8)), r'map 1 .*\(N, 4, H, W\)'),
    (lambda maps: _with(maps, 2, torch.rand(1, 4, 4, 4)), 'map 2 has a batch of 1'),
    (lambda maps: _with(maps, 1, torch.rand(2, 4, 16, 16)), 'map 1 is 16x16, but must be 8x8'),
    (lambda maps: _with(maps, 2, torch.rand(2, 4, 4, 3)), 'map 2 is 4x3, but must be 4x4'),
])
def test_maps_that_do_not_fit_are_refused_by_number(break_maps, words):
    neck = NASFPN([4, 4, 4], 4, 5, 1)
    with pytest.raises(ValueError, match=words):
        neck(break_maps(make_inputs([4, 4, 4], 16, 16, batch=2)))


def test_importing_the_necks_needs_neither_mmdet_nor_compiled_ops():
    code = ("import sys; sys.modules['mmcv._ext'] = None; import mmnasfpn.models.necks; "
            "loaded = [m for m in sys.modules if m.split('.')[0] == 'mmdet' "
            "or m.startswith('mmcv.ops')]; assert not loaded, loaded")
    subprocess.run([sys.executable, '-c', code], check=True)
