"""The authors' variables, converted: the same outputs, for any genotype, plain and separable."""
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmnasfpn.converters import ConversionError, convert_tf_neck, read_tf_variables
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.models.necks import NASFPN
from tests.reference_neck import ReferenceAuthorsNeck
from tests.strategies import genotypes

GOLDEN = Path(__file__).parents[1] / 'data' / 'authors_neck_small.npz'


def make_variables(genotype, in_channels, channels, stacks, separable, seed=0):
    """Return random variables by the authors' names; none for inputs of the feature dimension."""
    rng = np.random.default_rng(seed)
    variables = {}

    def layer(scope, name, kernel, taken):
        def add(part, values):
            variables[f'{scope}/{part}'] = np.asarray(values, np.float32)

        scale = 1 / np.sqrt(taken * kernel**2)
        if separable:
            add(f'{name}/depthwise_kernel', rng.normal(0, 1 / kernel, (kernel, kernel, taken, 1)))
            add(f'{name}/pointwise_kernel', rng.normal(0, taken**-0.5, (1, 1, taken, channels)))
        else:
            add(f'{name}/kernel', rng.normal(0, scale, (kernel, kernel, taken, channels)))
        add(f'{name}/bias', rng.normal(0, 0.5, channels))
        add('bn/gamma', rng.uniform(0.5, 1.5, channels))
        add('bn/beta', rng.normal(0, 0.3, channels))
        add('bn/moving_mean', rng.normal(0, 0.3, channels))
        add('bn/moving_variance', rng.uniform(0.5, 1.5, channels))

    for level, taken in enumerate(in_channels, genotype.min_level):
        if taken != channels:
            layer(f'resample_l{level}', 'separable_conv2d' if separable else 'conv2d', 1, taken)
    for stack in range(stacks):
        for cell in range(len(genotype.cells)):
            node = genotype.num_levels + cell
            layer(f'fpn_cells/cell_{stack}/sub_policy{cell}/op_after_combine{node}', 'conv', 3, channels)
    return variables


def make_maps(in_channels, num_levels, rng, rows=1, columns=1):
    """Return maps of an image whose sizes are multiples of the coarsest stride."""
    return [rng.normal(size=(1, c, rows * 2**(num_levels - 1 - i), columns * 2**(num_levels - 1 - i)))
            for i, c in enumerate(in_channels)]


def error_of(outs, expected, genotype):
    return max(np.abs(out.numpy() - expected[level]).max() / np.abs(expected[level]).max()
               for level, out in zip(genotype.levels, outs, strict=True))


def compare(genotype, in_channels, stacks, separable, seed=0, rows=1, columns=1, input_levels=None):
    """Return the largest relative error in float32 and in float64."""
    variables = make_variables(genotype, in_channels, 4, stacks, separable, seed)
    neck = NASFPN(in_channels, 4, genotype.num_levels, stacks, genotype=genotype,
                  separable=separable).eval()
    neck.load_state_dict(convert_tf_neck(variables, input_levels))
    maps = make_maps(in_channels, genotype.num_levels, np.random.default_rng(seed), rows, columns)
    *_, expected = ReferenceAuthorsNeck(genotype.to_dict(), variables, stacks, 1e-4)(maps)
    maps = [torch.from_numpy(x) for x in maps]
    with torch.no_grad():
        single = error_of(neck([x.float() for x in maps]), expected, genotype)
        # The folded bias is a difference of two float32 numbers: fold anew in float64.
        neck.double().load_state_dict(convert_tf_neck(
            {name: value.astype(np.float64) for name, value in variables.items()}, input_levels))
        double = error_of(neck(maps), expected, genotype)
    return single, double


def test_neck_and_reference_give_the_authors_own_outputs_within_1e_5():
    genotype, arrays = get_genotype('nasfpn'), np.load(GOLDEN)
    inputs = [arrays[f'in_{level}'].transpose(0, 3, 1, 2) for level in (3, 4, 5)]
    expected = {level: arrays[f'out_{level}'].transpose(0, 3, 1, 2) for level in range(3, 8)}
    neck = NASFPN([8, 12, 20], 16, num_outs=5, stack_times=2).eval()
    neck.load_state_dict(convert_tf_neck(read_tf_variables(GOLDEN)))
    with torch.no_grad():
        assert error_of(neck([torch.from_numpy(x.copy()) for x in inputs]), expected, genotype) < 1e-5
    variables = {name.removeprefix('var/'): value for name, value in arrays.items()}
    *_, outs = ReferenceAuthorsNeck(genotype.to_dict(), variables, 2, 1e-4)(inputs)
    outs = [torch.from_numpy(outs[level]) for level in genotype.levels]
    assert error_of(outs, expected, genotype) < 1e-5


@settings(max_examples=20, deadline=None)
@given(genotype=genotypes(), stacks=st.integers(1, 7), separable=st.booleans(),
       inputs=st.integers(1, 3), size=st.tuples(st.integers(1, 2), st.integers(1, 2)),
       seed=st.integers(0, 2**31))
def test_random_genotypes_stacks_and_sizes(genotype, stacks, separable, inputs, size, seed):
    single, double = compare(genotype, [3, 5, 2][:inputs], stacks, separable, seed, *size)
    assert single < 1e-4
    assert double < 1e-9


@pytest.mark.parametrize('separable', [False, True])
@pytest.mark.parametrize('name', ['nasfpn', 'nasfpn_lite'])
def test_seven_stacks_of_the_named_genotypes(name, separable):
    single, double = compare(get_genotype(name), [3, 5, 2], 7, separable, rows=2)
    assert single < 1e-4
    assert double < 1e-9


@pytest.mark.parametrize('separable', [False, True])
def test_a_map_that_has_the_feature_dimension_is_taken_as_it_is(separable):
    single, double = compare(get_genotype('nasfpn'), [3, 4, 2], 1, separable)
    assert single < 1e-6 and double < 1e-9
    single, double = compare(get_genotype('nasfpn'), [4, 3, 4], 1, separable, input_levels=[3, 4, 5])
    assert single < 1e-6 and double < 1e-9


def variables_of_two_stacks():
    return make_variables(get_genotype('nasfpn'), [3, 5, 2], 4, 2, False)


def test_scopes_slots_and_the_rest_of_a_detector_are_no_obstacle():
    plain = variables_of_two_stacks()
    variables = {f'retinanet/{name}:0': value for name, value in plain.items()}
    variables |= {f'retinanet/{name}/Momentum': value for name, value in plain.items()}
    variables |= {'retinanet/resnet50/conv2d/kernel': np.ones(1), 'global_step': np.array(3)}
    expected = convert_tf_neck(plain)
    converted = convert_tf_neck(variables)
    assert list(converted) == list(expected)
    assert all(torch.equal(converted[name], expected[name]) for name in expected)


def without(variables, end):
    return {name: value for name, value in variables.items() if not name.endswith(end)}


CELL = 'fpn_cells/cell_1/sub_policy3/op_after_combine8'


@pytest.mark.parametrize(('change', 'words'), [
    (lambda v: {}, 'no variables of the authors'),
    (lambda v: {n: x for n, x in v.items() if 'resample' not in n}, 'laterals'),
    (lambda v: without(v, f'{CELL}/conv/bias'), 'cell_1/sub_policy3 lacks bias'),
    (lambda v: without(v, 'resample_l4/bn/gamma'), 'resample_l4 lacks gamma'),
    (lambda v: {n: x for n, x in v.items() if CELL not in n}, f'{CELL} is missing'),
    (lambda v: {**v, f'{CELL}/conv/kernel': np.ones((3, 3, 4, 5))},
     r'kernel .*\(3, 3, 4, 5\).*\(3, 3, 4, 4\)'),
    (lambda v: {**v, f'{CELL}/conv/kernel': np.ones(3)}, r'kernel .*\(3,\)'),
    (lambda v: {**v, f'{CELL}/bn/beta': np.full(4, np.nan)}, 'beta .* finite'),
    (lambda v: {**v, f'{CELL}/bn/beta': np.ones(4, int)}, 'beta .* floating-point .* int64'),
    (lambda v: {**v, f'{CELL}/bn/beta': np.array(['x'] * 4)}, 'beta .* floating-point'),
    (lambda v: {**v, 'resample_l3/bn/beta': np.ones(3)}, r'beta of resample_l3.*\(3,\).*\(4,\)'),
    (lambda v: {**v, **{f'other/{n}': x for n, x in v.items()}}, 'several necks'),
])
def test_variables_that_do_not_fit_are_named(change, words):
    with pytest.raises(ConversionError, match=words):
        convert_tf_neck(change(variables_of_two_stacks()))


def test_levels_that_are_not_the_inputs_are_named():
    with pytest.raises(ConversionError, match=r'levels \[5\].*input_levels is \[3, 4\]'):
        convert_tf_neck(variables_of_two_stacks(), [3, 4])
    for levels in ([5, 4, 3], [3, 4, 5, 5], [], [3, 5], range(3, 9)):
        with pytest.raises(ConversionError, match='must be consecutive, fine to coarse, and at most 5'):
            convert_tf_neck(variables_of_two_stacks(), levels)


def test_a_checkpoint_is_read_with_tensorflow_where_it_is_installed(monkeypatch, tmp_path):
    variables = {**variables_of_two_stacks(), 'global_step': np.array(3)}
    reader = types.SimpleNamespace(
        get_variable_to_shape_map=lambda: {name: value.shape for name, value in variables.items()},
        get_tensor=variables.__getitem__)
    tensorflow = types.ModuleType('tensorflow')
    tensorflow.train = types.SimpleNamespace(load_checkpoint=lambda path: reader)
    monkeypatch.setitem(sys.modules, 'tensorflow', tensorflow)
    with pytest.raises(ConversionError, match=r'model\.ckpt-1\.index'):
        read_tf_variables(tmp_path / 'model.ckpt-1')
    (tmp_path / 'model.ckpt-1.index').touch()
    assert set(read_tf_variables(tmp_path / 'model.ckpt-1')) == set(variables) - {'global_step'}


def test_without_tensorflow_the_way_around_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'tensorflow', None)
    with pytest.raises(ConversionError, match=r'install it, or write the variables to an \.npz'):
        read_tf_variables(tmp_path / 'model.ckpt-1')


def test_an_npz_with_anything_but_arrays_is_refused(tmp_path):
    path = tmp_path / 'x.npz'
    np.savez(path, **{f'{CELL}/bn/beta': np.array([{}], dtype=object)})
    with pytest.raises(ConversionError, match=r'x\.npz is not an \.npz of plain arrays'):
        read_tf_variables(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ConversionError, match=r'x\.npz is not an \.npz of plain arrays'):
        read_tf_variables(path)
    with pytest.raises(ConversionError, match='no file'):
        read_tf_variables(tmp_path / 'none.npz')
    np.savez(path, **{f'{CELL}/bn/beta': np.ones(4), 'object_graph': np.array([b'x'], dtype=object)})
    assert list(read_tf_variables(path)) == [f'{CELL}/bn/beta']  # the rest is not even looked at


@pytest.mark.parametrize('separable', [False, True])
@pytest.mark.parametrize('eps', [1e-12, 1e-5, 1e-3, 0.1])  # PyTorch 2.10 and 2.11 normalise with no 0
def test_a_lateral_without_variables_is_the_identity_for_the_eps_that_is_used(eps, separable):
    variables = make_variables(get_genotype('nasfpn'), [3, 4, 2], 4, 1, separable, seed=0)
    neck = NASFPN([3, 4, 2], 4, 5, 1, separable=separable,
                  norm_cfg=dict(type='BN', eps=eps)).double().eval()
    neck.load_state_dict(convert_tf_neck(
        {name: value.astype(np.float64) for name, value in variables.items()}, eps=eps))
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(neck.laterals[1](x), x, rtol=1e-12, atol=0)
        neck.float().load_state_dict(convert_tf_neck(variables, eps=eps))
        assert torch.allclose(neck.laterals[1](x.float()), x.float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize('eps', [-1e-3, 1, float('nan')])
def test_an_eps_that_cannot_be_is_refused(eps):
    with pytest.raises(ConversionError, match='eps is'):
        convert_tf_neck(variables_of_two_stacks(), eps=eps)
