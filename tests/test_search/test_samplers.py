"""The controller as an Optuna sampler, beside Optuna's own."""
from zlib import crc32

import optuna
import pytest
import torch
from optuna.trial import TrialState

from mmnasfpn.search import SearchSpace
from mmnasfpn.search.samplers import SAMPLERS, ControllerSampler, make_sampler
from mmnasfpn.search.trials import distributions

SPACE = SearchSpace(0, 2, 1, [1, 2])
SMALL = dict(batch_size=4, hidden_size=16, lr=0.01)


def reward(params):
    return sum(value == 0 for value in params.values()) / len(params)


optuna.logging.set_verbosity(optuna.logging.WARNING)


def study_of(sampler, num_trials=0, storage=None):
    study = optuna.create_study(sampler=sampler, storage=storage, study_name='s', direction='maximize',
                                load_if_exists=True)
    for _ in range(num_trials):
        trial = study.ask(distributions(SPACE))
        study.tell(trial, reward(trial.params))
    return study


def drawn(study):
    return [tuple(trial.params.values()) for trial in study.get_trials() if trial.params]


@pytest.mark.parametrize('name', SAMPLERS)
def test_every_sampler_draws_genotypes_of_the_space(name):
    study = study_of(make_sampler(name, SPACE, 0, 0, SMALL), 12)
    for actions in drawn(study):
        assert SPACE.encode(SPACE.decode(actions)) == list(actions)


@pytest.mark.parametrize('name', SAMPLERS)
def test_draws_follow_the_seed(name):
    one, same, other = (drawn(study_of(make_sampler(name, SPACE, seed, 0, SMALL), 12))
                        for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize('name', [name for name in SAMPLERS if name != 'controller'])
def test_a_continued_search_does_not_draw_its_first_trials_again(name):
    first = drawn(study_of(make_sampler(name, SPACE, 0, 0), 6))
    assert drawn(study_of(make_sampler(name, SPACE, 0, 6), 6)) != first


def test_the_distributions_never_change():
    study = study_of(make_sampler('controller', SPACE, 0, 0, SMALL), 20)
    assert len({str(trial.distributions) for trial in study.get_trials()}) == 1


def test_it_learns():
    study = study_of(ControllerSampler(SPACE, 0, batch_size=10, lr=0.001, hidden_size=32), 400)
    values = [trial.value for trial in study.get_trials()]
    assert sum(values[:20]) / 20 < 0.5 and sum(values[-50:]) / 50 > 0.8


@pytest.mark.parametrize('cut', [3, 4, 10, 17])
def test_one_that_is_rebuilt_from_the_record_goes_on_as_if_it_had_never_stopped(cut, tmp_path):
    storage = f'sqlite:///{tmp_path}/search.db'
    study_of(ControllerSampler(SPACE, 5, **SMALL), cut, storage)
    rebuilt = ControllerSampler(SPACE, 5, **SMALL)
    study = study_of(rebuilt, 24 - cut, storage)
    uninterrupted_sampler = ControllerSampler(SPACE, 5, **SMALL)
    uninterrupted = study_of(uninterrupted_sampler, 24)
    assert drawn(study) == drawn(uninterrupted)
    assert rebuilt.num_updates == uninterrupted_sampler.num_updates == 5
    for name, value in rebuilt.controller.state_dict().items():
        assert torch.equal(value, uninterrupted_sampler.controller.state_dict()[name]), name


def test_draws_do_not_depend_on_how_a_cpu_rounds():
    def run(roundings):
        sampler = ControllerSampler(
            SearchSpace(num_intermediate=2), 5, batch_size=2, hidden_size=8, lr=0.05)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in sampler.controller.parameters():
                noise = torch.randn(weight.shape, dtype=weight.dtype, generator=generator)
                weight *= 1 + roundings * torch.finfo(weight.dtype).eps * noise
        study = optuna.create_study(sampler=sampler, direction='maximize')
        for _ in range(60):
            trial = study.ask(distributions(sampler.space))
            study.tell(trial, crc32(repr(trial.params).encode()) / 2**32)
        return drawn(study)

    assert run(0) == run(10)


def test_it_learns_from_trials_in_the_order_in_which_they_completed():
    def run(order):
        sampler = ControllerSampler(SPACE, 0, **SMALL)
        study = study_of(sampler)
        trials = [study.ask(distributions(SPACE)) for _ in range(8)]
        for index in order:
            study.tell(trials[index], reward(trials[index].params))
        sampler.learn(study.get_trials())
        return sampler

    first, same, other = run(range(8)), run(range(8)), run(range(7, -1, -1))
    weights = [sampler.controller.heads[0].weight for sampler in (first, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_trial_is_scored_under_the_policy_that_drew_it():
    sampler = ControllerSampler(SPACE, 0, **SMALL)
    study = study_of(sampler)
    late = study.ask(distributions(SPACE))
    for _ in range(8):
        trial = study.ask(distributions(SPACE))
        study.tell(trial, reward(trial.params))
    sampler.learn(study.get_trials())
    assert sampler.num_updates == 2
    actions = torch.tensor([list(late.params.values())])
    expected = -sum(torch.tensor(float(decision.num_actions)).log() for decision in SPACE.decisions)
    assert sampler._old_log_probs(actions, [0]).sum().item() == pytest.approx(expected.item(), abs=1e-5)
    assert abs(sampler._old_log_probs(actions, [2]).sum().item() - expected.item()) > 1e-5


def test_trials_that_took_too_long_teach_nothing():
    sampler = ControllerSampler(SPACE, 0, max_lag=1, **SMALL)
    study = study_of(sampler)
    late = study.ask(distributions(SPACE))
    for _ in range(11):
        trial = study.ask(distributions(SPACE))
        study.tell(trial, reward(trial.params))
    sampler.learn(study.get_trials())
    assert sampler.num_updates == 2 and len(sampler._waiting) == 3
    study.tell(late, 1.0)
    sampler.learn(study.get_trials())
    assert sampler.num_updates == 2 and len(sampler._waiting) == 3


def test_failed_trials_teach_nothing():
    sampler = ControllerSampler(SPACE, 0, **SMALL)
    study = study_of(sampler)
    for _ in range(8):
        study.tell(study.ask(distributions(SPACE)), state=TrialState.FAIL)
    sampler.learn(study.get_trials())
    assert sampler.num_updates == 0


def test_it_leaves_the_global_random_state_and_the_threads_alone():
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    study_of(ControllerSampler(SPACE, 0, **SMALL), 6)
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads


@pytest.mark.parametrize(('arguments', 'words'), [
    (dict(batch_size=1), 'batch_size is 1.*at least 2'),
    (dict(epochs=0), 'epochs is 0'),
    (dict(lr='fast'), "lr is 'fast'"),
    (dict(entropy_weight=-1), 'entropy_weight is -1'),
    (dict(baseline_decay=2), 'baseline_decay is 2'),
    (dict(learning_rate=1), "controller: .*'learning_rate'"),
    (dict(name='grid'), "'grid'.*controller, random, tpe, nsgaii"),
])
def test_arguments_that_are_unknown_or_out_of_range_are_named(arguments, words):
    name = arguments.pop('name', 'controller')
    with pytest.raises(ValueError, match=words):
        make_sampler(name, SPACE, 0, 0, arguments)
