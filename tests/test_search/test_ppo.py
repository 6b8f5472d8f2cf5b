"""Proximal policy optimisation, against numbers worked out by hand."""
import math

import pytest
import torch

from mmnasfpn.search.ppo import advantages, moving_baseline, ppo_loss

ZERO = torch.zeros(1, 1)


def loss(ratio, advantage, clip=0.2, entropies=ZERO, entropy_weight=0.0):
    log_probs = torch.tensor([[math.log(ratio)]])
    return ppo_loss(log_probs, ZERO, torch.tensor([advantage]), entropies, clip, entropy_weight).item()


@pytest.mark.parametrize(('ratio', 'advantage', 'expected'), [
    (1.0, 2.0, -2.0),  # the policy that drew it
    (1.1, 2.0, -2.2),  # within the clip
    (1.5, 2.0, -2.4),  # more likely than 1.2 times gains nothing
    (0.5, 2.0, -1.0),  # less likely costs in full
    (1.1, -2.0, 2.2),
    (1.5, -2.0, 3.0),  # more likely costs in full
    (0.5, -2.0, 1.6),  # less likely than 0.8 times gains nothing
])
def test_the_objective_is_clipped(ratio, advantage, expected):
    assert loss(ratio, advantage) == pytest.approx(expected)


@pytest.mark.parametrize(('ratio', 'advantage', 'learns'), [
    (1.5, 1.0, False), (0.5, 1.0, True), (1.5, -1.0, True), (0.5, -1.0, False), (1.0, 1.0, True)])
def test_where_it_is_clipped_nothing_is_learned(ratio, advantage, learns):
    log_probs = torch.tensor([[math.log(ratio)]], requires_grad=True)
    ppo_loss(log_probs, ZERO, torch.tensor([advantage]), ZERO, 0.2, 0.0).backward()
    assert log_probs.grad.item() == pytest.approx(-ratio * advantage if learns else 0)


def test_the_loss_is_the_mean_over_decisions_and_samples_less_the_entropy_bonus():
    ratios = torch.tensor([[1.0, 1.5], [0.5, 1.0]])
    entropies = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    # Sample 0, advantage 1: 1 and 1.2 (clipped). Sample 1, advantage -2: -1.6 (clipped) and -2.
    expected = -(1 + 1.2 - 1.6 - 2) / 4 - 0.1 * 2.5
    found = ppo_loss(ratios.log(), torch.zeros(2, 2), torch.tensor([1.0, -2.0]), entropies, 0.2, 0.1)
    assert found.item() == pytest.approx(expected)


def test_advantages_are_distances_from_the_baseline_in_units_of_their_root_mean_square():
    # Distances -0.1, 0.1 and 0.3.
    unit = math.sqrt((0.01 + 0.01 + 0.09) / 3)
    found = advantages(torch.tensor([0.1, 0.3, 0.5]), 0.2)
    assert found.tolist() == pytest.approx([-0.1 / unit, 0.1 / unit, 0.3 / unit], rel=1e-5)


def test_equal_rewards_have_advantages_of_one_at_most():
    assert advantages(torch.full((4,), 0.5), 0.4).tolist() == pytest.approx([1] * 4, rel=1e-5)
    assert advantages(torch.full((4,), 0.5), 0.5).tolist() == [0] * 4


def test_the_baseline_moves():
    assert moving_baseline(None, torch.tensor([0.2, 0.4]), 0.9) == pytest.approx(0.3)
    assert moving_baseline(0.3, torch.tensor([0.5, 0.7]), 0.9) == pytest.approx(0.9 * 0.3 + 0.1 * 0.6)
