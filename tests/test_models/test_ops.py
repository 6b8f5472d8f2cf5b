"""Resampling and merging."""
import numpy as np
import pytest
import torch

from mmnasfpn.models.ops import downsample, global_pooling, resample, sum_maps, upsample
from tests.reference_neck import resize


@pytest.mark.parametrize('steps', [1, 2, 3, 4, 5])
def test_downsample_takes_the_maximum_of_windows_aligned_with_the_origin(steps):
    for height in range(1, 70):
        x = torch.randn(1, 2, height, 3, dtype=torch.float64) - 10  # padding with 0 would win
        size = (-(-height // 2**steps), -(-3 // 2**steps))
        expected = resize(x.numpy(), 0, steps, size)
        np.testing.assert_array_equal(downsample(x, steps).numpy(), expected)


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


def test_ops_leave_their_inputs_alone():
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    before = a.clone(), b.clone()
    sum_maps(a, b), global_pooling(a, b), downsample(a, 1), upsample(a, 1, (7, 7))
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])
