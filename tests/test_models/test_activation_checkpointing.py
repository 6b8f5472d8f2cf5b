"""Activation checkpointing: modules that are computed again in the backward pass."""
import copy

import torch
from torch import nn

from mmnasfpn.models.activation_checkpointing import checkpoint_activations
from mmnasfpn.models.necks import NASFPN


def test_maps_gradients_and_statistics_are_those_of_a_neck_that_keeps_everything():
    states = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        neck = NASFPN([4, 5], 8, 5, 2, dropblock_cfg=dict(keep_prob=0.8), with_cp=with_cp).train()
        maps = [torch.rand(2, 4, 33, 20, requires_grad=True), torch.rand(2, 5, 17, 10)]
        outs = neck(maps)
        sum(x.square().sum() for x in outs).backward()
        states.append([*outs, maps[0].grad, *(p.grad for p in neck.parameters()), *neck.buffers()])
    for kept, recomputed in zip(*states, strict=True):
        torch.testing.assert_close(kept, recomputed, rtol=0, atol=0)


def test_activations_are_not_kept():
    def saved(function):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (sizes.append(x.numel()), x)[1],
                                                      lambda x: x):
            function()
        return sum(sizes)

    module = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(5)))
    x = torch.rand(1, 4, 32, 32, requires_grad=True)
    assert saved(lambda: checkpoint_activations(module, x)) < saved(lambda: module(x)) / 4


def test_without_gradients_nothing_is_recomputed():
    module = nn.BatchNorm2d(4).train()
    other = copy.deepcopy(module)
    x = torch.rand(2, 4, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(checkpoint_activations(module, x), other(x), rtol=0, atol=0)
    assert module.num_batches_tracked == 1 and module.track_running_stats
