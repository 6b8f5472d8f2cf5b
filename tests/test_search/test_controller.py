"""The controller."""
import itertools
import math

import pytest
import torch

from mmnasfpn.search import SearchSpace
from mmnasfpn.search.controller import Controller

SMALL = SearchSpace(0, 1, 1, [0, 1])
SPACES = [SearchSpace(), SearchSpace(3, 6, 11, [[4]] * 6 + [[5, 4]] * 5),
          SearchSpace(1, 3, 0, ops=['gp'])]


def random_controller(space, seed=0):
    """Return a controller whose softmaxes are not uniform any more."""
    torch.manual_seed(seed)
    controller = Controller(space, 16)
    for head in controller.heads:
        torch.nn.init.normal_(head.weight, std=3.0)
        torch.nn.init.normal_(head.bias, std=1.0)
    return controller


def test_probabilities_of_all_genotypes_add_up_to_one():
    actions = torch.tensor(list(itertools.product(
        *(range(decision.num_actions) for decision in SMALL.decisions))))
    with torch.no_grad():
        decided = random_controller(SMALL)(actions)
    assert decided.log_probs.sum(dim=1).exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_draws_follow_the_probabilities():
    space = SearchSpace(0, 1, 0, ops=['sum'])
    controller = random_controller(space)
    with torch.no_grad():
        drawn = controller(batch_size=20_000, generator=torch.Generator().manual_seed(0))
    rows, counts = drawn.actions.unique(dim=0, return_counts=True)
    with torch.no_grad():
        expected = controller(rows).log_probs.sum(dim=1).exp()
    assert torch.allclose(counts.double() / 20_000, expected, atol=0.015)


@pytest.mark.parametrize('space', SPACES, ids=repr)
def test_every_draw_is_a_genotype_and_is_scored_as_it_was_drawn(space):
    controller = random_controller(space)
    with torch.no_grad():
        drawn = controller(batch_size=64, generator=torch.Generator().manual_seed(0))
        scored = controller(drawn.actions)
    for actions in drawn.actions.tolist():
        assert space.encode(space.decode(actions)) == actions
    assert torch.equal(scored.actions, drawn.actions)
    assert torch.allclose(scored.log_probs, drawn.log_probs)
    assert torch.allclose(scored.entropies, drawn.entropies)


@pytest.mark.parametrize('space', SPACES, ids=repr)
def test_what_is_drawn_beside_fixed_actions_is_drawn_as_it_is_scored(space):
    controller = random_controller(space)
    fixed = {0: 1, 2: 0, 5: 1, len(space.decisions) - 6: 1}
    with torch.no_grad():
        drawn = controller(batch_size=64, generator=torch.Generator().manual_seed(0), fixed=fixed)
        scored = controller(drawn.actions)
    for index, action in fixed.items():
        assert (drawn.actions[:, index] == action).all()
    assert len(drawn.actions.unique(dim=0)) > 1
    assert torch.allclose(scored.log_probs, drawn.log_probs)


@pytest.mark.parametrize('space', SPACES, ids=repr)
def test_it_starts_uniform_over_what_is_left(space):
    decided = Controller(space)(batch_size=8)
    counts = torch.tensor([decision.num_actions for decision in space.decisions]).double()
    assert torch.allclose(decided.log_probs, -counts.log().expand(8, -1), atol=1e-6)
    assert torch.allclose(decided.entropies, counts.log().expand(8, -1), atol=1e-5)


def test_the_entropy_is_that_of_the_options_that_are_left():
    space = SearchSpace(0, 1, 0, ops=['sum'])
    controller = Controller(space)
    with torch.no_grad():
        controller.heads[1].bias.copy_(torch.tensor([math.log(3), 0.0]))
        # The first input is node 0, which leaves node 1 alone; and the other way round.
        assert controller(torch.zeros(1, 8, dtype=torch.long)).entropies[0, 1] == 0
        controller.heads[5].bias.copy_(torch.tensor([math.log(3), 0.0, 5.0]))
        # The second cell's first input is node 2: of 0 and 1, with 3/4 and 1/4.
        actions = torch.tensor([[0, 0, 0, 0, 2, 0, 0, 0]])
        decided = controller(actions)
    assert decided.log_probs[0, 5].item() == pytest.approx(math.log(3 / 4))
    assert decided.entropies[0, 5].item() == pytest.approx(
        -(3 / 4 * math.log(3 / 4) + 1 / 4 * math.log(1 / 4)))


def test_draws_follow_the_generator():
    controller = random_controller(SearchSpace())
    one, same, other = (controller(batch_size=4, generator=torch.Generator().manual_seed(seed)).actions
                        for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_gradients_reach_every_weight():
    controller = random_controller(SearchSpace())
    decided = controller(batch_size=64)
    (decided.log_probs.sum() + decided.entropies.sum()).backward()
    last_level = len(controller.heads) - 2  # where one level is left to choose from
    for name, parameter in controller.named_parameters():
        if name.startswith(f'heads.{last_level}.'):
            continue
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
