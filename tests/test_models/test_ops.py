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


def test_downsample_keeps_little_for_the_backward_pass():
    kept = []
    x = torch.rand(1, 4, 32, 32).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes), lambda _: None):
        downsample(x, 1)
    assert sum(kept) == 2 * x.numel() / 4  # two bytes for each value that is left


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
    assert torch.equal(merge(coarse, fine, coarse.amax(dim=(2, 3), keepdim=True)),
                       merge(coarse, fine, None))


def test_ops_leave_their_inputs_alone():
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    before = a.clone(), b.clone()
    sum_maps(a, b), global_pooling(a, b), downsample(a, 1), upsample(a, 1, (7, 7))
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])
