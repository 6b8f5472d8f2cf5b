"""The controller keeps Optuna's contract for samplers: Optuna's own tests, and what they leave out."""
import math
import pickle
import threading
import time
import warnings

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, PartialFixedSampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import TrialState, create_trial

from mmnasfpn.search import SearchSpace
from mmnasfpn.search.samplers import ControllerSampler, _one_thread
from mmnasfpn.search.trials import distributions
from tests.conftest import REPO

SPACE = SearchSpace(0, 1, 1)  # 12 decisions, some of one action
NAMES = list(distributions(SPACE))
SMALL = dict(batch_size=4, hidden_size=8, lr=0.01)
FAST = dict(seed=2, batch_size=4, hidden_size=8, lr=0.03)  # settles within 120 trials
FIXED = {'cell_0_input_1': 1, 'cell_1_op': 1, 'cell_2_input_2': 2}
HUGE = [math.inf, -math.inf, 1e308, -1e308, 1e39, -1e20]

optuna.logging.set_verbosity(optuna.logging.WARNING)


class OptunasTests:
    @pytest.fixture
    def sampler(self):
        return lambda: ControllerSampler(SPACE, **SMALL)


class TestBasicContract(OptunasTests, BasicSamplerTestCase):
    pass


class TestRelativeContract(OptunasTests, RelativeSamplerTestCase):
    pass


class TestContractOfOneObjective(OptunasTests, SingleOnlySamplerTestCase):
    pass


class Noting(ControllerSampler):
    """A controller that notes what it learned from, and takes long to look at a trial."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.taught = []

    def _is_usable(self, trial):
        time.sleep(0.001)  # others run meanwhile
        return super()._is_usable(trial)

    def _update(self, batch, direction):
        self.taught += [trial.number for trial in batch]
        super()._update(batch, direction)


def suggest(trial):
    return [trial.suggest_categorical(decision.name, range(decision.num_actions))
            for decision in SPACE.decisions]


def share_of_zeros(trial):
    return sum(action == 0 for action in suggest(trial)) / len(NAMES)


def study_of(sampler, num_trials=0, objective=share_of_zeros, direction='maximize', **options):
    study = optuna.create_study(sampler=sampler, direction=direction, **options)
    study.optimize(objective, n_trials=num_trials)
    return study


def partial_fixed(fixed, sampler):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ExperimentalWarning)
        return PartialFixedSampler(fixed, sampler)


def params_of(study):
    return [trial.params for trial in study.get_trials()]


def learn_all(sampler, study):
    sampler.learn(study.get_trials(), study.direction)
    return sampler.num_updates


def weights_of(sampler):
    return torch.cat([weight.flatten() for weight in sampler.controller.state_dict().values()])


def mean(values):
    return sum(values) / len(values)


def test_decisions_are_drawn_as_plain_ints_of_their_range():
    study = study_of(ControllerSampler(SPACE, **SMALL), 8)
    for params in params_of(study):
        assert all(type(action) is int for action in params.values())
        SPACE.decode([params[name] for name in NAMES])  # refuses what is out of range


# Several threads

@pytest.mark.parametrize('make_storage', [
    lambda folder: InMemoryStorage(),
    lambda folder: f'sqlite:///{folder}/study.db',
    lambda folder: JournalStorage(JournalFileBackend(str(folder / 'study.log'))),
], ids=['memory', 'sqlite', 'journal'])
def test_threads_learn_from_each_completed_trial_once(make_storage, tmp_path):
    sampler = Noting(SPACE, **SMALL)
    study = study_of(sampler, storage=make_storage(tmp_path))
    study.optimize(share_of_zeros, n_trials=12, n_jobs=4)
    assert learn_all(sampler, study) == 3
    assert sorted(sampler.taught) == list(range(12))


def test_a_trial_draws_the_same_in_whatever_thread_it_runs():
    def objective(trial):
        suggest(trial)
        return trial.suggest_float('x', 0, 1)

    one, several = (study_of(ControllerSampler(SPACE, batch_size=100)) for _ in range(2))
    one.optimize(objective, n_trials=8)
    several.optimize(objective, n_trials=8, n_jobs=4)
    assert params_of(one) == params_of(several)
    assert len({trial.value for trial in one.get_trials()}) == 8


def test_threads_that_compute_on_one_thread_wait_for_each_other():
    entered = threading.Event()

    def enter():
        with _one_thread():
            entered.set()

    thread = threading.Thread(target=enter)
    with _one_thread():
        thread.start()
        assert not entered.wait(0.1)
    thread.join()
    assert entered.is_set()


@pytest.mark.parametrize('num_trials', [0, 6])
def test_a_pickled_sampler_goes_on_as_it_would_have(num_trials):
    sampler = ControllerSampler(SPACE, **SMALL)
    study = study_of(sampler, num_trials)
    copy = pickle.loads(pickle.dumps(sampler))
    trials = study.get_trials()
    assert copy.draw(trials) == sampler.draw(trials)
    assert torch.equal(weights_of(copy), weights_of(sampler))


def test_it_works_with_pruners_that_show_it_some_trials_only():
    study_of(ControllerSampler(SPACE, **SMALL), 8,
             pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9))


# Objectives

def test_several_objectives_are_refused_with_the_sampler_to_use():
    study = optuna.create_study(directions=['maximize'] * 2, sampler=ControllerSampler(SPACE))
    with pytest.raises(ValueError, match="has 2 objectives.*NSGAIISampler.*'nsgaii'"):
        study.optimize(lambda trial: (share_of_zeros(trial), 0), n_trials=1)


def test_it_learns_to_minimise():
    study = study_of(ControllerSampler(SPACE, **FAST), 120, direction='minimize')
    values = [trial.value for trial in study.get_trials()]
    assert mean(values[-20:]) < mean(values[:20]) - 0.15


def test_to_minimise_is_to_maximise_the_negative_value():
    samplers = [ControllerSampler(SPACE, **SMALL) for _ in range(2)]
    studies = [study_of(samplers[0], 12, direction='minimize'),
               study_of(samplers[1], 12, lambda trial: -share_of_zeros(trial))]
    assert params_of(studies[0]) == params_of(studies[1])
    assert learn_all(samplers[0], studies[0]) == learn_all(samplers[1], studies[1]) == 3
    assert torch.equal(*map(weights_of, samplers))


@pytest.mark.parametrize('value', HUGE)
@pytest.mark.parametrize('direction', ['maximize', 'minimize'])
def test_a_value_that_is_infinite_or_huge_teaches_nothing(value, direction):
    sampler = ControllerSampler(SPACE, **SMALL)
    study = study_of(sampler, 6, lambda trial: value if suggest(trial) else 0, direction)
    assert learn_all(sampler, study) == 0
    study.optimize(share_of_zeros, n_trials=4)
    assert learn_all(sampler, study) == 1
    assert weights_of(sampler).isfinite().all() and 0 <= abs(sampler.baseline) <= 1


@pytest.mark.parametrize('value', [1e18, -1e18, 1e-300])
def test_the_weights_stay_finite_up_to_the_largest_value(value):
    sampler = ControllerSampler(SPACE, **SMALL)
    study = study_of(sampler, 12, lambda trial: value * share_of_zeros(trial))
    assert learn_all(sampler, study) == 3
    assert weights_of(sampler).isfinite().all()


def test_it_goes_on_learning_among_values_that_are_infinite_or_huge():
    def objective(trial):
        value = share_of_zeros(trial)
        return value if trial.number % 4 else HUGE[trial.number // 4 % len(HUGE)]

    sampler = ControllerSampler(SPACE, **FAST)
    values = [trial.value for trial in study_of(sampler, 120, objective).get_trials()
              if trial.number % 4]
    assert weights_of(sampler).isfinite().all()
    assert mean(values[-20:]) > mean(values[:20]) + 0.15


# Parameters that are no decisions

def test_other_parameters_follow_from_seed_owner_trial_and_name():
    def draw(name='x', number=0, **options):
        sampler = ControllerSampler(SPACE, hidden_size=1, **options)
        study = optuna.create_study(sampler=sampler)
        trial = create_trial(value=0)
        trial.number = number
        return sampler.sample_independent(study, trial, name, FloatDistribution(0, 1))

    assert draw() == draw()
    assert len({draw(), draw('y'), draw(number=1), draw(seed=1), draw(owner='me')}) == 5


def test_it_learns_the_decisions_of_an_objective_with_other_parameters():
    def objective(trial):
        trial.suggest_float('lr', 1e-4, 1, log=True)
        value = share_of_zeros(trial)
        trial.suggest_int('depth', 1, 4)
        return value

    sampler = ControllerSampler(SPACE, **SMALL)
    study = study_of(sampler, 40, objective)
    assert learn_all(sampler, study) == 10
    assert len({tuple(params[name] for name in NAMES) for params in params_of(study)}) > 20


@pytest.mark.parametrize('state', [TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED])
def test_a_trial_that_used_some_decisions_is_not_drawn_again(state):
    study = study_of(ControllerSampler(SPACE, **SMALL))
    drawn = set()
    for _ in range(8):
        trial = study.ask()
        suggest(trial)
        drawn.add(tuple(trial.params.values()))
        other = study.ask()
        other.suggest_categorical(NAMES[0], [0, 1])
        study.tell(other, 0.5 if state is TrialState.COMPLETE else None, state)
        study.tell(trial, state=TrialState.FAIL)
    assert len(drawn) == 8


# Trials that teach nothing

def trial_of(params=None, choices=None, attrs=None, **options):
    params = {**dict.fromkeys(NAMES, 0), **(params or {})}
    spaces = {name: CategoricalDistribution(choices) if choices else distribution
              for name, distribution in distributions(SPACE).items()}
    system_attrs = {'mmnasfpn:policy': 0, **(attrs or {})}
    return create_trial(params=params, distributions=spaces, system_attrs=system_attrs,
                        **(options or dict(value=0.5)))


@pytest.mark.parametrize(('trial', 'is_learned'), [
    (trial_of(), True),
    (trial_of(attrs={'mmnasfpn:policy': 7}), False),
    (trial_of(attrs={'mmnasfpn:policy': None}), False),
    (trial_of(choices=[0, 1, 2, 3, 4, 5, 6]), False),
    (trial_of(choices=['a', 0, 'b']), False),
    (trial_of(values=[0.5, 0.5]), False),
    (trial_of(value=math.inf), False),
    (create_trial(params={'x': 0}, distributions={'x': CategoricalDistribution([0])}, value=0.5,
                  system_attrs={'mmnasfpn:policy': 0}), False),
    (create_trial(value=0.5, system_attrs={'mmnasfpn:policy': 0}), False),
    (create_trial(value=0.5), False),
    (trial_of(attrs={'mmnasfpn:fixed': {NAMES[0]: 0}}), True),
    (trial_of({NAMES[0]: 1}, attrs={'mmnasfpn:fixed': {NAMES[0]: 0}}), False),
    (trial_of(attrs={'mmnasfpn:fixed': dict.fromkeys(NAMES, 0)}), False),
    (trial_of(attrs={'mmnasfpn:fixed': dict.fromkeys(
        [decision.name for decision in SPACE.decisions if decision.num_actions > 1], 0)}), False),
], ids=['the policy\'s own', 'of a policy to come', 'of no policy', 'more choices', 'other choices',
        'two values', 'infinite', 'another name', 'no parameters', 'nothing at all', 'fixed',
        'not as it was fixed', 'all fixed', 'all with a choice fixed'])
def test_trials_that_the_controller_did_not_draw_are_passed_over(trial, is_learned):
    sampler = ControllerSampler(SPACE, **SMALL)
    for number in range(4):
        study_trial = trial_of() if number else trial
        study_trial.number = number
        sampler.learn([study_trial])
    assert sampler.num_updates == is_learned
    assert len(sampler._waiting) == (0 if is_learned else 3)


def test_trials_of_another_objective_are_passed_over():
    study = study_of(ControllerSampler(SPACE, **SMALL))
    study.enqueue_trial({'x': 0.5})
    study.optimize(lambda trial: trial.suggest_float('x', 0, 1), n_trials=8)
    assert learn_all(study.sampler, study) == 0
    study.optimize(share_of_zeros, n_trials=4)
    assert learn_all(study.sampler, study) == 1


# Decisions that are fixed

def fixed_studies(sampler):
    """Studies that fix the same decisions, each in another way."""
    enqueued = study_of(sampler())
    for _ in range(8):
        enqueued.enqueue_trial(FIXED)
    (first, action), *others = FIXED.items()
    nested = partial_fixed({first: action}, partial_fixed({first: 0, **dict(others)}, sampler()))
    enqueued_too = study_of(partial_fixed({**FIXED, first: 0}, sampler()))
    for _ in range(8):
        enqueued_too.enqueue_trial({first: action})
    return {'fixed': study_of(partial_fixed(FIXED, sampler())), 'enqueued': enqueued,
            'nested': study_of(nested), 'fixed and enqueued': enqueued_too}


@pytest.mark.parametrize('way', ['fixed', 'enqueued', 'nested', 'fixed and enqueued'])
def test_fixed_decisions_are_what_was_fixed_and_only_the_others_learn(way):
    sampler = ControllerSampler(SPACE, entropy_weight=0, **SMALL)
    study = fixed_studies(lambda: sampler)[way]
    study.optimize(share_of_zeros, n_trials=8)
    drawn, _ = sampler.draw([], fixed=FIXED)
    assert all(params | FIXED == params for params in (drawn, *params_of(study)))
    assert learn_all(sampler, study) == 2
    for name, decision, head in zip(NAMES, SPACE.decisions, sampler.controller.heads, strict=True):
        if name in FIXED:
            assert not head.weight.any() and not head.bias.any(), name
        elif decision.step == 'input_1':
            assert head.bias.any(), name


def test_all_decisions_can_be_fixed():
    sampler = ControllerSampler(SPACE, **SMALL)
    study = study_of(partial_fixed(dict.fromkeys(NAMES, 0), sampler), 5)
    study.sampler = sampler
    for _ in range(5):
        study.enqueue_trial(dict.fromkeys(NAMES, 0))
    study.optimize(share_of_zeros, n_trials=5)
    assert [trial.value for trial in study.get_trials()] == [1] * 10
    assert learn_all(sampler, study) == 0 and sampler._waiting == []


def test_decisions_are_drawn_again_once_they_are_no_longer_fixed():
    sampler = ControllerSampler(SPACE, **SMALL)
    study = study_of(partial_fixed(FIXED, sampler), 4)
    study.sampler = sampler
    study.optimize(share_of_zeros, n_trials=12)
    for name in FIXED:
        assert len({params[name] for params in params_of(study)[4:]}) > 1, name
    assert learn_all(sampler, study) == 4


class Fixing(BaseSampler):
    """A sampler around another that fixes a decision and says nothing of it."""

    def __init__(self, base):
        self.base = base

    def infer_relative_search_space(self, study, trial):
        space = self.base.infer_relative_search_space(study, trial)
        del space[NAMES[0]]
        return space

    def sample_relative(self, study, trial, search_space):
        return self.base.sample_relative(study, trial, search_space)

    def sample_independent(self, study, trial, param_name, param_distribution):
        return 0


def test_it_learns_nothing_where_it_cannot_know_what_was_fixed():
    sampler = ControllerSampler(SPACE, **SMALL)
    study = study_of(Fixing(sampler), 8)
    assert {params[NAMES[0]] for params in params_of(study)} == {0}
    assert learn_all(sampler, study) == 0


def test_a_fixed_action_out_of_range_is_refused_by_optuna_and_ends_no_later_trial():
    study = study_of(ControllerSampler(SPACE, **SMALL))
    study.enqueue_trial({NAMES[0]: 99})
    study.optimize(share_of_zeros, n_trials=5, catch=ValueError)
    assert [trial.state.name for trial in study.get_trials()] == ['FAIL', *['COMPLETE'] * 4]


def test_a_trial_that_was_interrupted_goes_on_from_what_it_had_drawn():
    # As Optuna's heartbeat makes it anew: some of its parameters are there.
    sampler = ControllerSampler(SPACE, **SMALL)
    study = study_of(sampler)
    spaces = distributions(SPACE)
    study.add_trial(create_trial(
        state=TrialState.WAITING, params={name: FIXED[name] for name in FIXED},
        distributions={name: spaces[name] for name in FIXED}, system_attrs={'mmnasfpn:policy': 0}))
    study.optimize(share_of_zeros, n_trials=1)
    trial, = study.get_trials()
    assert trial.params | FIXED == trial.params
    assert FIXED.items() <= trial.system_attrs['mmnasfpn:fixed'].items()
    assert NAMES[-4] not in trial.system_attrs['mmnasfpn:fixed']


# The documentation

def test_the_snippet_of_the_docs_runs():
    text = (REPO / 'docs/search_details.md').read_text()
    snippet, = [block.split('```')[0] for block in text.split('```python\n')
                if 'ControllerSampler(' in block.split('```')[0]]
    names = dict(reward=lambda genotype: len(genotype.cells))
    exec(snippet.replace('n_trials=1000', 'n_trials=2'), names)
    assert names['study'].best_value == 7
    assert names['study'].direction is StudyDirection.MAXIMIZE
