"""Batch normalisation without a counter."""
import copy

import pytest
import torch
from mmcv.cnn import build_norm_layer
from torch import nn

from mmnasfpn.models.batch_norm import BatchNorm2d, without_counter
from mmnasfpn.models.necks import NASFPN


@pytest.mark.parametrize('kwargs', [{}, dict(momentum=0.003, eps=1e-4), dict(momentum=None),
                                    dict(affine=False), dict(track_running_stats=False)])
def test_it_normalises_as_pytorchs_does_in_training_and_evaluation(kwargs):
    torch.manual_seed(0)
    ours, theirs = BatchNorm2d(4, **kwargs), nn.BatchNorm2d(4, **kwargs)
    theirs.load_state_dict(ours.state_dict())
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        x = torch.randn(3, 4, 5, 6)
        assert torch.equal(ours(x), theirs(x))
    for name, value in theirs.state_dict().items():
        if name != 'num_batches_tracked' or kwargs.get('momentum', 0.1) is None:
            assert torch.equal(ours.state_dict()[name], value)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_it_counts_batches_once_its_momentum_is_none():
    """PyTorch's ``swa_utils.update_bn`` sets it so for a while."""
    norm = copy.deepcopy(BatchNorm2d(4))
    norm(torch.randn(3, 4, 5, 6))
    assert norm.num_batches_tracked == 0
    norm.momentum = None
    norm(torch.randn(3, 4, 5, 6))
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize(('kind', 'expected'), [
    ('BN', BatchNorm2d), ('BN2d', BatchNorm2d), (nn.BatchNorm2d, BatchNorm2d),
    ('BN3d', nn.BatchNorm3d), ('BN1d', nn.BatchNorm1d)])
def test_it_replaces_exactly_pytorchs_batch_normalisation(kind, expected):
    norm_cfg = dict(type=kind, requires_grad=False)
    name, norm = build_norm_layer(without_counter(norm_cfg), 4)
    assert (name, type(norm)) == ('bn', expected)
    assert not norm.weight.requires_grad
    assert norm_cfg == dict(type=kind, requires_grad=False)


def test_necks_do_not_count_batches_and_keep_the_keys():
    neck = NASFPN([4, 8], 4, num_outs=2, stack_times=1, norm_cfg=dict(type='BN'),
                  genotype=dict(min_level=3, max_level=4, cells=[
                      dict(level=3, op='gp', inputs=[0, 1], is_output=True),
                      dict(level=4, op='sum', inputs=[2, 1], is_output=True)]))
    neck([torch.randn(2, 4, 8, 8), torch.randn(2, 8, 4, 4)])
    counters = [value for name, value in neck.state_dict().items() if 'num_batches_tracked' in name]
    assert len(counters) == 4 and not any(counters)
