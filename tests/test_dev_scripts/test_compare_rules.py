"""The comparison of the authors' rules with MMDetection's, one at a time."""
import sys

import numpy as np
import pytest
import torch

from mmnasfpn.engine.config import load_config
from mmnasfpn.models.necks import NASFPN
from mmnasfpn.models.ops import VARIANTS
from tests.conftest import DEMO_CONFIG


@pytest.fixture(scope='module')
def module():
    variants = dict(VARIANTS)
    import mmdet_rules
    yield mmdet_rules
    VARIANTS.clear()
    VARIANTS.update(variants)
    del sys.modules['mmdet_rules']


def test_each_gate_is_what_it_is_called(module):
    rng = np.random.default_rng(0)
    coarse, fine = rng.normal(size=(1, 2, 3, 4)), rng.normal(size=(1, 2, 6, 8))
    large = coarse.repeat(2, axis=2).repeat(2, axis=3)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    expected = {
        'average_gate': large + fine * sigmoid(coarse.mean((2, 3), keepdims=True)),
        'swapped_gate': fine + large * sigmoid(fine.max((2, 3), keepdims=True)),
        'both_gates': fine + large * sigmoid(fine.mean((2, 3), keepdims=True))}
    for name, value in expected.items():
        merged = getattr(module, name)(torch.from_numpy(coarse), torch.from_numpy(fine), 1)
        np.testing.assert_allclose(merged.numpy(), value)


def test_all_rules_together_are_mmdetections(module):
    names = ('merge_ops', 'resample', 'is_aligned', 'coarser', 'has_coarser_convs', 'has_conv_bias')
    both = {**module.RULES['coarser-convs'], **module.RULES['conv-bias'], **module.RULES['resampling']}
    assert set(both) | {'merge_ops'} == set(names)
    assert all(both[name] == getattr(VARIANTS['mmdet'], name) for name in both)


def test_each_rule_builds_a_neck_that_trains(module):
    maps = [torch.rand(1, 8, 128 // 2**level, 128 // 2**level) for level in range(3)]
    outputs = {}
    for rule in ('authors', *module.RULES):
        torch.manual_seed(0)
        neck = NASFPN([8, 8, 8], out_channels=8, num_outs=5, stack_times=1, variant=rule,
                      norm_cfg=dict(type='GN', num_groups=4)).eval()
        sum(y.sum() for y in neck(maps)).backward()
        outputs[rule] = neck(maps)[0].detach()
    for rule in module.RULES:
        assert torch.equal(outputs[rule], outputs['authors']) == (rule == 'resampling'), rule


def test_the_config_of_a_rule_names_its_variant(tmp_path):
    from compare_rules import RULES, write_config
    from mmdet_rules import RULES as ALONE
    assert ('authors', 'mmdet', *ALONE) == RULES
    cfg = load_config(write_config(str(DEMO_CONFIG), 'swapped-gate', tmp_path))
    assert cfg.model.neck.variant == 'swapped-gate'
