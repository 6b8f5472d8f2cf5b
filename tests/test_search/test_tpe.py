"""Optuna's TPE, which draws no architecture twice."""
import optuna
import pytest
from optuna.trial import TrialState

from mmnasfpn.genotypes import architecture_hash
from mmnasfpn.search import SearchSpace
from mmnasfpn.search.samplers import make_sampler
from mmnasfpn.search.trials import distributions
from tests.test_search.searches import match_config, search

SPACE = SearchSpace(0, 2, 1, [1, 2])
optuna.logging.set_verbosity(optuna.logging.WARNING)


def architecture(trial, space=SPACE):
    return architecture_hash(space.decode(list(trial.params.values())))


def match(trial):
    return sum(action == 0 for action in trial.params.values()) / len(trial.params)


@pytest.fixture
def study():
    return optuna.create_study(sampler=make_sampler('tpe', SPACE, 0, 0), direction='maximize')


def test_no_architecture_is_drawn_twice_also_of_those_that_still_run(study):
    running = []
    for _ in range(24):
        trial = study.ask(distributions(SPACE))
        running.append(trial)
        if len(running) > 3:
            done = running.pop(0)
            study.tell(done, match(done))
    assert len({architecture(trial) for trial in study.trials}) == 24


def test_it_learns_what_is_good():
    space = SearchSpace()
    study = optuna.create_study(sampler=make_sampler('tpe', space, 0, 0), direction='maximize')
    for _ in range(30):
        trial = study.ask(distributions(space))
        study.tell(trial, match(trial))
    values = [trial.value for trial in study.trials]
    assert sum(values[20:]) / 10 > sum(values[:10]) / 10 + 0.1


def test_where_all_is_known_it_goes_on_at_random():
    space = SearchSpace(0, 1, 0, ops=['sum'])
    study = optuna.create_study(sampler=make_sampler('tpe', space, 0, 0))
    for _ in range(12):
        study.tell(study.ask(distributions(space)), 0.5)
    assert len({architecture(trial, space) for trial in study.trials}) < 12


def test_what_failed_is_drawn_again_and_not_learned_from(study):
    sampler = study.sampler
    for number in range(20):
        trial = study.ask(distributions(SPACE))
        if number % 2:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, match(trial))
    study.ask(distributions(SPACE))
    assert len(sampler._learned) == 10


def test_given_decisions_stay(study):
    fixed = dict.fromkeys(distributions(SPACE), 0)
    study.enqueue_trial(fixed)
    assert study.ask(distributions(SPACE)).params == fixed


@pytest.mark.parametrize('goals', [1, 2])
def test_other_parameters_and_several_objectives_work(goals):
    study = optuna.create_study(sampler=make_sampler('tpe', SPACE, 0, 0),
                                directions=['maximize'] * goals)

    def objective(trial):
        for name, distribution in distributions(SPACE).items():
            trial.suggest_categorical(name, distribution.choices)
        return [trial.suggest_float('lr', 0, 1)] * goals

    study.optimize(objective, n_trials=12)
    assert len({architecture_hash(SPACE.decode([trial.params[name] for name in distributions(SPACE)]))
                for trial in study.trials}) == 12


def test_a_search_evaluates_only_what_is_new(tmp_path, monkeypatch):
    monkeypatch.setattr('mmnasfpn.search.results.draw_architectures', lambda *_: None)
    summary = search(match_config(), tmp_path / 'w', 14, sampler='tpe', num_workers=1)
    again = search(match_config(), tmp_path / 'w', 18, sampler='tpe', num_workers=1)
    assert (summary['unique'], again['unique']) == (14, 18)
