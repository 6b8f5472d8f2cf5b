"""Pruners of a search against each other, at equal cost: epochs."""
import itertools
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from mmengine.config import Config
from optuna.pruners import BasePruner
from optuna.trial import TrialState
from scipy.stats import spearmanr

from mmnasfpn._markdown import to_table
from mmnasfpn.genotypes import architecture_hash
from mmnasfpn.search.evaluation import Evaluation, evaluate
from mmnasfpn.search.pruners import make_pruner
from mmnasfpn.search.rewards import GenotypeMatch
from mmnasfpn.search.samplers import ControllerSampler
from mmnasfpn.search.settings import PRUNERS
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.trials import distributions

_EPOCHS = 5  # of a trial that is not stopped
_NOISE = 0.06  # with this, epoch 1 of random genotypes has a rank correlation of 0.5 with the end
_LAST = 100  # draws whose mean match is compared


class RisingMatch(GenotypeMatch):
    """The match with a genotype, as a training of five epochs would come to it.

    After epoch ``e`` of 5 it reports ``e / 5 * (match + noise)``, and not less than 0. The noise is a
    sum of ``5 - e`` normal numbers of deviation 0.06, of which each epoch takes one away: so what is
    reported tells genotypes apart better and better, and the reward in the end is the match itself.
    The numbers follow from genotype and seed.
    """

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        super().__init__(Config(), space, 'nasfpn')
        self.seed = seed

    @property
    def num_reports(self) -> int:
        """One after each epoch but the last."""
        return _EPOCHS - 1

    def curve(self, genotype: Any) -> list[float]:
        """Return what is reported after each epoch, and the reward."""
        match = super().__call__(genotype)
        rng = random.Random(f'{self.seed} {architecture_hash(genotype)}')
        noise = [rng.gauss(0, _NOISE) for _ in range(_EPOCHS - 1)]
        return [max(0.0, epoch / _EPOCHS * (match + sum(noise[epoch - 1:])))
                for epoch in range(1, _EPOCHS + 1)]

    def __call__(self, genotype: Any, work_dir: Any = '') -> float:
        """Return the match, unless it is stopped before."""
        *reports, match = self.curve(genotype)
        for epoch, value in enumerate(reports, 1):
            self.report(epoch, value)
        return match


@dataclass(frozen=True)
class Candidate:
    """A pruner, and what the controller learns from the trials that it stops."""

    pruner: str
    reduction_factor: int | None = None
    learn_pruned: bool | None = None

    @property
    def names(self) -> tuple[str, str, str]:
        """What a row of the table begins with."""
        learns = {None: '', True: 'the last value', False: 'nothing'}[self.learn_pruned]
        return self.pruner, str(self.reduction_factor or ''), learns


def candidates(factors: Sequence[int]) -> list[Candidate]:
    """Return what is compared: no pruner, and each with each factor, learned from or not."""
    return [Candidate('none'), *itertools.starmap(Candidate, itertools.product(
        PRUNERS[1:], factors, (False, True)))]


def search(candidate: Candidate, seed: int, epochs: int) -> Iterator[dict[str, Any]]:
    """Search until a number of epochs is spent, or twice as many trials are drawn; yield each trial.

    It draws, learns, stops and reuses rewards as :func:`mmnasfpn.search.run.search` does with one
    worker, but its record is in memory.

    Yields:
        dict: ``spent``, the epochs of all trials so far; ``match``, that of the genotype; and whether
        the trial ``completed``.
    """
    space = SearchSpace()
    reward = RisingMatch(space, seed)
    pruner = make_pruner(candidate.pruner, reward, candidate.reduction_factor)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction='maximize', study_name=f'seed {seed}',
        sampler=ControllerSampler(space, seed, learn_pruned=bool(candidate.learn_pruned)))
    known: dict[str, Evaluation] = {}  # by architecture
    spent = 0
    for _ in range(2 * epochs):
        trial = study.ask(distributions(space))
        genotype = space.decode(list(trial.params.values()))
        architecture = architecture_hash(genotype)
        is_new = architecture not in known
        if is_new:
            known[architecture] = evaluate(
                reward, genotype, Path(), partial(_report, study, pruner, trial))
        found = known[architecture]
        assert found.values is not None
        if not found.is_pruned:
            study.tell(trial, found.values)
        else:
            if not is_new:
                trial.report(found.values[0], 1)  # its value is what it last reported
            study.tell(trial, state=TrialState.PRUNED)
        if is_new:
            reports = study.get_trials(deepcopy=False)[trial.number].intermediate_values
            spent += len(reports) if found.is_pruned else _EPOCHS
        yield dict(spent=spent, match=reward.curve(genotype)[-1], completed=not found.is_pruned)
        if spent >= epochs:
            return


def _report(study: optuna.Study, pruner: BasePruner, trial: optuna.Trial, step: int,
            value: float) -> bool:
    trial.report(value, step)
    return pruner.prune(study, study.get_trials(deepcopy=False)[trial.number])


def compare(candidates: Sequence[Candidate], seeds: Sequence[int], budgets: Sequence[int],
            num_workers: int = 1) -> Iterator[dict[str, Any]]:
    """Search with each candidate and seed, several at a time, and yield what each budget found.

    Yields:
        dict: The fields of the candidate, the ``seed``, the ``budget`` in epochs,
        ``mean_match_last_100`` of the draws, stopped or not, ``best_match`` of the completed ones, the
        numbers of ``trials`` and of those that ``completed``.
    """
    with ProcessPoolExecutor(num_workers) as pool:
        jobs = [pool.submit(_run, candidate, seed, tuple(budgets))
                for seed in seeds for candidate in candidates]
        for job in jobs:
            yield from job.result()


def _run(candidate: Candidate, seed: int, budgets: Sequence[int]) -> list[dict[str, Any]]:
    trials = list(search(candidate, seed, max(budgets)))
    found = []
    for budget in budgets:
        # The last one may spend a little more.
        number = next((number for number, trial in enumerate(trials, 1) if trial['spent'] >= budget),
                      len(trials))
        within = trials[:number]
        completed = [trial['match'] for trial in within if trial['completed']]
        found.append(dict(
            **asdict(candidate), seed=seed, budget=budget, trials=number, completed=len(completed),
            mean_match_last_100=statistics.mean(trial['match'] for trial in within[-_LAST:]),
            best_match=max(completed)))
    return found


def to_markdown(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the searches as a Markdown table: a row for each candidate, means over the seeds."""
    budgets = sorted({run['budget'] for run in runs})
    head = ['pruner', 'factor', 'the controller learns from pruned trials']
    for budget in budgets:
        head += [f'{budget:,} epochs: mean of the last {_LAST}', 'lowest and highest seed', 'best',
                 'trials']
    lines = []
    for candidate in dict.fromkeys(_candidate_of(run) for run in runs):
        line = list(candidate.names)
        for budget in budgets:
            own = [run for run in runs if _candidate_of(run) == candidate and run['budget'] == budget]
            means = [run['mean_match_last_100'] for run in own]
            line += [f'{statistics.mean(means):.3f}', f'{min(means):.3f} to {max(means):.3f}',
                     f"{statistics.mean(run['best_match'] for run in own):.3f}",
                     f"{statistics.mean(run['trials'] for run in own):.0f}"]
        lines.append(line)
    return to_table(head, lines)


def _candidate_of(run: Mapping[str, Any]) -> Candidate:
    return Candidate(run['pruner'], run['reduction_factor'], run['learn_pruned'])


def rank_correlations(num_genotypes: int = 2000) -> list[float]:
    """Return Spearman's correlation of what is reported after each epoch with the reward in the end."""
    space = SearchSpace()
    reward, rng = RisingMatch(space), random.Random(0)
    *reports, ends = zip(*(reward.curve(space.sample(rng)) for _ in range(num_genotypes)), strict=True)
    return [float(spearmanr(values, ends).statistic) for values in reports]
