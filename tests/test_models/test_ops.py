"""Resampling and merging."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmnasfpn.genotypes import OPS
from mmnasfpn.models.ops import VARIANTS, downsample, global_pooling, resample, sum_maps, upsample
from tests.reference_neck import resize


@pytest.mark.parametrize('steps', [1, 2, 3, 4, 5])
def test_downsample_takes_the_maximum_of_windows_aligned_with_the_origin(steps):
    for height in range(1, 70):
        x = torch.randn(1, 2, height, 3, dtype=torch.float64) - 10  # padding with 0 would win
        size = (-(-height // 2**steps), -(-3 // 2**steps))
        expected = resize(x.numpy(), 0, steps, size)
        np.testing.assert_array_equal(downsample(x, steps).numpy(), expected)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_downsample_is_max_pooling_where_sizes_divide(memory_format, dtype):
    x = torch.randn(2, 3, 32, 48).to(dtype, memory_format=memory_format)
    for steps in (1, 2, 4):
        found = downsample(x, steps)
        assert torch.equal(found, F.max_pool2d(x, 2**steps))
        assert found.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('steps', [1, 2, 4, 5])
@pytest.mark.parametrize('size', [(64, 96), (33, 50), (1, 7), (3, 1200)])
def test_downsample_gives_gradients_as_max_pooling_does(size, steps, memory_format):
    torch.manual_seed(0)
    # Few values, so that windows have several maxima.
    x = torch.randint(5, (2, 3, *size)).float().contiguous(memory_format=memory_format)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = F.max_pool2d(theirs, 2**steps, ceil_mode=True)
    found = downsample(ours, steps)
    assert torch.equal(found, expected)
    grad = torch.randn_like(expected)
    found.backward(grad)
    expected.backward(grad)
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize(('memory_efficient', 'num_bytes'), [
    (True, 4), (None, 4), (False, 4 * 4 + 8)])  # PyTorch's: four values and a position of eight bytes
def test_downsample_keeps_little_for_the_backward_pass_where_asked_and_on_a_cpu(
        memory_efficient, num_bytes):
    kept = []
    x = torch.rand(1, 4, 32, 32).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes), lambda _: None):
        downsample(x, 1, memory_efficient)
    assert sum(kept) == num_bytes * x.numel() / 4


def test_downsample_is_pytorchs_own_on_other_devices():
    x = torch.rand(1, 4, 32, 32, device='meta').requires_grad_()
    assert 'MaxPool2D' in downsample(x, 1).grad_fn.name()
    assert downsample(x, 1, memory_efficient=True).grad_fn.name() == '_MaxPoolBackward'


@pytest.mark.parametrize('steps', [1, 2, 3, 4, 5])
def test_upsample_repeats_and_crops(steps):
    for height in range(1, 70):
        size = (height, 5)
        x = torch.randn(1, 2, -(-height // 2**steps), -(-5 // 2**steps), dtype=torch.float64)
        np.testing.assert_array_equal(upsample(x, steps, size).numpy(),
                                      resize(x.numpy(), steps, 0, size))


def test_resample_to_the_same_level_is_the_map_itself():
    x = torch.rand(1, 2, 5, 3)
    assert resample(x, 0, (5, 3)) is x


def test_global_pooling_gates_the_fine_map_by_the_maximum_of_the_coarse_one():
    coarse = torch.tensor([[[[1., -2.], [3., 0.]], [[-5., -4.], [-9., -6.]]]])
    fine = torch.ones(1, 2, 2, 2)
    expected = coarse + torch.tensor([3., -4.]).sigmoid().view(1, 2, 1, 1)
    torch.testing.assert_close(global_pooling(coarse, fine), expected)
    assert not torch.allclose(global_pooling(fine, coarse), expected)


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('op', OPS)
def test_the_merge_operations_of_all_variants_are_called_alike(variant, op):
    coarse, fine = torch.randn(2, 2, 3, 4, 4)
    merge = VARIANTS[variant].merge_ops[op]
    torch.testing.assert_close(merge(coarse[..., :2, :2], fine, 1),
                               merge(upsample(coarse[..., :2, :2], 1, (4, 4)), fine))


def test_ops_leave_their_inputs_alone():
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    before = a.clone(), b.clone()
    sum_maps(a, b), global_pooling(a, b), downsample(a, 1), upsample(a, 1, (7, 7))
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])


def plain_merge(coarse, fine, steps, is_gated):
    """Merge by PyTorch's operations alone."""
    maximum = coarse.flatten(2).max(dim=2).values[..., None, None]
    if steps:
        coarse = F.interpolate(coarse, scale_factor=2**steps)[..., :fine.shape[-2], :fine.shape[-1]]
    return coarse + (fine * maximum.sigmoid() if is_gated else fine)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('steps', [0, 1, 2, 3])
@pytest.mark.parametrize('size', [(16, 24), (13, 9), (1, 5)])
@pytest.mark.parametrize('on_blocks', [False, True])
@pytest.mark.parametrize('merge', [sum_maps, global_pooling])
def test_merging_gives_values_and_gradients_as_pytorchs_operations_do(
        merge, on_blocks, size, steps, layout, monkeypatch):
    monkeypatch.setattr('mmnasfpn.models.ops.merge.runs_fast_on_blocks', lambda x: on_blocks)
    torch.manual_seed(0)
    rows, columns = (-(-n // 2**steps) for n in size)
    # Few values, so that maps have several maxima.
    coarse = torch.randint(5, (2, 3, rows, columns)).double().contiguous(memory_format=layout)
    fine = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=layout)
    ours, theirs = ([x.clone().requires_grad_() for x in (coarse, fine)] for _ in range(2))
    found = merge(*ours, steps)
    expected = plain_merge(*theirs, steps, merge is global_pooling)
    torch.testing.assert_close(found, expected)
    if rows * columns > 1:  # one position has no layout
        assert found.is_contiguous(memory_format=layout)
    torch.testing.assert_close(merge(coarse, fine, steps), expected)  # nothing to differentiate
    grad = torch.randn_like(expected)
    for x, y in zip(torch.autograd.grad(found, ours, grad), torch.autograd.grad(expected, theirs, grad),
                    strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize('wanted', [0, 1])
def test_global_pooling_gives_a_gradient_to_one_map_alone(wanted):
    maps = [torch.randn(1, 2, 2, 2), torch.randn(1, 2, 4, 4)]
    maps[wanted].requires_grad_()
    found, = torch.autograd.grad(global_pooling(*maps, 1).sum(), maps[wanted])
    expected, = torch.autograd.grad(plain_merge(*maps, 1, True).sum(), maps[wanted])
    torch.testing.assert_close(found, expected)


def test_maps_of_several_types_are_merged_in_the_widest(monkeypatch):
    monkeypatch.setattr('mmnasfpn.models.ops.merge.runs_fast_on_blocks', lambda x: True)
    coarse = torch.randn(1, 2, 2, 2).bfloat16().requires_grad_()
    fine = torch.randn(1, 2, 4, 4).requires_grad_()
    for merge in (sum_maps, global_pooling):
        merged = merge(coarse, fine, 1)
        assert merged.dtype == torch.float32
        grads = torch.autograd.grad(merged.sum(), [coarse, fine])
        assert [grad.dtype for grad in grads] == [torch.bfloat16, torch.float32]


def test_the_gradient_does_not_depend_on_the_type_of_sums(monkeypatch):
    maps = [torch.randn(1, 2, 2, 2).bfloat16().requires_grad_(),
            torch.randn(1, 2, 4, 4).bfloat16().requires_grad_()]
    merged = global_pooling(*maps, 1)
    grad = torch.randn_like(merged)
    expected = torch.autograd.grad(merged, maps, grad, retain_graph=True)
    plain = torch.Tensor.sum
    # As a GPU sums in autocast, where the backward pass runs in it too.
    monkeypatch.setattr(torch.Tensor, 'sum', lambda x, **options: plain(x.float(), **options))
    for found, wanted in zip(torch.autograd.grad(merged, maps, grad), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_maps_whose_sizes_do_not_fit_the_levels_between_them_are_refused():
    for merge in (sum_maps, global_pooling):
        with pytest.raises(ValueError, match='is 4x4, but must be 2x2, which is 1 levels above'):
            merge(torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 4), 1)


def test_merging_can_be_vectorised_and_differentiated_forward_where_nothing_is_trained():
    coarse, fine = torch.rand(3, 1, 2, 2, 2), torch.rand(3, 1, 2, 4, 4)
    for merge in (sum_maps, global_pooling):
        found = torch.func.vmap(lambda x, y, merge=merge: merge(x, y, 1))(coarse, fine)
        assert torch.equal(found[1], merge(coarse[1], fine[1], 1))
        _, slope = torch.func.jvp(lambda y, merge=merge: merge(coarse[0], y, 1), (fine[0],), (fine[0],))
        gate = 1 if merge is sum_maps else coarse[0].amax((2, 3), keepdim=True).sigmoid()
        torch.testing.assert_close(slope, fine[0] * gate)
