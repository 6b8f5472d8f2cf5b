"""A supernet computes what the plain neck of each genotype computes with its weights."""
import copy
import random

import pytest
import torch
from torch import nn

from mmnasfpn.models.necks import NASFPN
from mmnasfpn.models.necks.super_nasfpn import SuperNASFPN
from mmnasfpn.search.space import SearchSpace

SPACE = SearchSpace(3, 5, 2)
LEVELS = [SPACE.levels_of(cell) for cell in range(SPACE.num_cells)]
GENOTYPES = [SPACE.sample(random.Random(seed)) for seed in range(4)]
OPTIONS = dict(in_channels=[4, 6], out_channels=8, num_outs=3, stack_times=2)
KINDS = dict(plain={}, separable=dict(separable=True), mmdet=dict(variant='mmdet'),
             group=dict(norm_cfg=dict(type='GN', num_groups=2)), unnormalised=dict(norm_cfg=None))


def supernet(**options):
    neck = SuperNASFPN(**OPTIONS, cell_levels=LEVELS, genotype=GENOTYPES[0], **options)
    neck.init_weights()
    for module in neck.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return neck


def maps(batch=2):
    return [torch.rand(batch, 4, 20, 17), torch.rand(batch, 6, 10, 9)]


@pytest.mark.parametrize('kind', KINDS)
def test_each_pyramid_is_bit_for_bit_the_plain_neck_of_its_weights(kind):
    torch.manual_seed(0)
    neck = supernet(**KINDS[kind])
    for genotype in GENOTYPES:
        plain = NASFPN(**OPTIONS, genotype=genotype, **KINDS[kind])
        neck.copy_weights_to(plain)
        neck.set_genotype(genotype)
        inputs = maps()
        for training in (True, False):  # trained once, so that statistics differ from the copy's start
            found, expected = neck.train(training)(inputs), plain.train(training)(inputs)
            assert all(map(torch.equal, found, expected)) and len(found) == len(expected) == 3


def test_weights_are_shared_by_all_pyramids_and_norms_by_those_of_a_level():
    neck = supernet()
    names = set(dict(neck.named_parameters()))
    assert all(name.startswith(('laterals.', 'convs.')) for name in names)
    assert sum('.conv.weight' in name for name in names if name.startswith('convs.')) == 2 * len(LEVELS)
    norms = [name for name in names if name.startswith('convs.0.4.norms')]
    assert {name.split('.')[4] for name in norms} == {'3', '4', '5'}
    for genotype in GENOTYPES:
        neck.set_genotype(genotype)
        assert set(dict(neck.named_parameters())) == names == set(
            dict(copy.deepcopy(neck).named_parameters()))


def test_every_weight_gets_a_gradient_in_a_finite_number_of_steps():
    neck, rng = supernet(), random.Random(0)
    without = dict(neck.named_parameters())
    for _ in range(60):
        neck.set_genotype(SPACE.sample(rng))
        sum(x.square().sum() for x in neck(maps())).backward()
        without = {name: x for name, x in without.items() if x.grad is None or not x.grad.any()}
        if not without:
            break
    assert not without


def test_genotypes_of_another_space_are_refused():
    neck = supernet()
    for genotype in ('nasfpn', SearchSpace(3, 5, 3).sample(random.Random(0)), 'fpn'):
        with pytest.raises(ValueError, match='take a genotype of its space'):
            neck.set_genotype(genotype)
    with pytest.raises(ValueError, match='take a genotype of its space'):
        neck.copy_weights_to(NASFPN([4, 6], 8, 5, 1))
