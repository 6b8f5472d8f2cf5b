"""The results of a search: numbers, and files of genotypes and figures."""
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from mmnasfpn._files import write_json, write_text
from mmnasfpn.search.drawings import Candidate, draw_architectures, draw_pareto_front, draw_search
from mmnasfpn.search.record import Record, is_given_up, last_failures
from mmnasfpn.search.trials import CPU_SECONDS, RETRY_OF, REUSED_FROM, SECONDS, START, is_draw, is_whole

_RECENT = 500  # completed trials among which repeats are counted


class Results:
    """What the record of a search holds at one moment."""

    def __init__(self, record: Record, max_retries: int) -> None:
        self.record = record
        trials = record.trials
        #: Completed trials, in the order of their completion.
        self.completed = sorted((trial for trial in trials if trial.state is TrialState.COMPLETE),
                                key=lambda trial: (trial.datetime_complete, trial.number))
        #: Their rewards, and the hashes of their architectures.
        self.rewards: list[float] = [trial.values[0] for trial in self.completed]
        self.architectures = [record.architecture(trial) for trial in self.completed]
        #: Trials that were stopped early.
        self.pruned = [trial for trial in trials if trial.state is TrialState.PRUNED and trial.values]
        self.num_failed = sum(trial.state is TrialState.FAIL for trial in trials)
        self.num_given_up = sum(is_given_up(trial, max_retries) for trial in last_failures(trials))
        #: Draws: trials that do not try another one again.
        self.num_trials = sum(is_whole(trial, len(record.space.decisions))
                              and RETRY_OF not in trial.user_attrs for trial in trials)
        self.num_drawn = sum(is_draw(trial, len(record.space.decisions)) for trial in trials)

    def num_unique(self) -> list[int]:
        """Return how many different architectures there were after each completed trial."""
        _, first = np.unique(self.architectures, return_index=True)
        return np.isin(np.arange(len(self.architectures)), first).cumsum().tolist()

    def top(self, number: int) -> list[Candidate]:
        """Return the best genotypes, the best first; of equal ones the one that came first."""
        evaluated = [trial for trial in self.completed if REUSED_FROM not in trial.user_attrs]
        evaluated.sort(key=lambda trial: trial.values[0], reverse=True)
        return self._candidates(evaluated[:number])

    def improvements(self) -> list[Candidate]:
        """Return the genotypes that were better than all before them, in order."""
        best: list[FrozenTrial] = []
        for trial in self.completed:
            if not best or trial.values[0] > best[-1].values[0]:
                best.append(trial)
        return self._candidates(best)

    def _candidates(self, trials: Sequence[FrozenTrial]) -> list[Candidate]:
        times = Counter(self.architectures)
        return [Candidate(trial.values[0], self.record.genotype(trial.params), trial.number,
                          times[self.record.architecture(trial)], trial.user_attrs.get(START, ''))
                for trial in trials]

    def pareto_front(self) -> list[FrozenTrial]:
        """Return a trial of each architecture that no other is better than in all goals at once.

        They are sorted by their last goal, the best first; none where there is a single goal.
        """
        if len(self.record.goals) < 2:
            return []
        front = {self.record.architecture(trial): trial
                 for trial in self.record.study.best_trials
                 if trial.values is not None and REUSED_FROM not in trial.user_attrs}
        sign = 1 if list(self.record.goals.values())[-1] == 'minimize' else -1
        return sorted(front.values(), key=lambda trial: sign * trial.values[-1])

    def summary(self, sampler: str, seconds: float) -> dict[str, Any]:
        """Return the results as plain data: ``best`` and the mean are None while nothing is completed.

        ``trials`` counts each draw once, ``failed`` every failed attempt at one, ``given_up`` the draws
        whose attempts all failed: in the end, ``trials`` are ``completed``, ``pruned`` and ``given_up``.
        ``starts`` are the genotypes that were given, ``drawn`` counts the trials of others;
        ``preparation`` is what was done before the first trial, ``cpu_seconds`` what trials took of all
        processors. ``repeated_last_500`` is the share of the last ones whose architecture had been drawn
        before, ``last_100`` the mean of the last rewards and their standard deviation.
        """
        best = self.top(1)
        last = self.rewards[-200:]
        num_unique = [0, *self.num_unique()]
        recent = min(_RECENT, len(self.completed))
        new = num_unique[-1] - num_unique[-recent - 1]
        return dict(
            trials=self.num_trials, completed=len(self.completed), pruned=len(self.pruned),
            failed=self.num_failed, given_up=self.num_given_up, unique=num_unique[-1],
            best=dict(reward=best[0].reward, genotype=best[0].genotype.to_dict()) if best else None,
            mean_reward_last_200=sum(last) / len(last) if last else None,
            last_100=_mean_and_spread(self.rewards[-100:]),
            repeated_last_500=1 - new / recent if recent else None,
            starts=self.starts(), drawn=self.num_drawn, preparation=self.record.preparation,
            cpu_seconds=sum(trial.user_attrs.get(CPU_SECONDS) or 0 for trial in self.record.trials),
            sampler=sampler, seconds=round(seconds, 1))

    def starts(self) -> dict[str, dict[str, Any]]:
        """Return what became of each genotype that was given, by its name: reward and cost."""
        by_number = {trial.number: trial for trial in self.completed}
        found = {}
        for trial in self.completed:
            if START in trial.user_attrs:
                evaluated = by_number[trial.user_attrs.get(REUSED_FROM, trial.number)]
                found[trial.user_attrs[START]] = dict(
                    reward=trial.values[0], trial=trial.number,
                    **{key: evaluated.user_attrs.get(key) for key in (SECONDS, CPU_SECONDS)})
        return found

    def write(self, work_dir: Path, num_top: int) -> None:
        """Write ``best.json``, a genotype, and ``top.json``, the best of all, if there are any yet."""
        top = self.top(num_top)
        if not top:
            return
        write_text(work_dir / 'best.json', top[0].genotype.to_json())
        write_json(work_dir / 'top.json', [
            dict(reward=one.reward, trial=one.trial, times=one.times, genotype=one.genotype.to_dict())
            for one in top])
        self._write_pareto_front(work_dir / 'pareto')

    def _write_pareto_front(self, folder: Path) -> None:
        """Write ``front.json`` and a file of each of its genotypes, if there are several goals."""
        front = self.pareto_front()
        if not front:
            return
        names = {f'trial-{trial.number:05}.json': trial for trial in front}
        for name, trial in names.items():
            write_text(folder / name, self.record.genotype(trial.params).to_json())
        write_json(folder / 'front.json', [
            dict(genotype=name, trial=trial.number,
                 **dict(zip(self.record.goals, trial.values, strict=True)))
            for name, trial in names.items()])
        for old in folder.glob('trial-*.json'):
            if old.name not in names:
                old.unlink()

    def draw(self, work_dir: Path) -> None:
        """Draw ``search.png`` and ``architectures.png``, and with several goals ``pareto.png``.

        Nothing is drawn where no trial is completed yet.
        """
        if self.completed:
            given = {number: trial.user_attrs[START] for number, trial in enumerate(self.completed, 1)
                     if START in trial.user_attrs}
            draw_search(self.rewards, self.num_unique(), work_dir / 'search.png', given)
            draw_architectures(self.improvements(), work_dir / 'architectures.png')
        if front := self.pareto_front():
            draw_pareto_front(self.record.goals, [trial.values for trial in self.completed],
                              [trial.values for trial in front], work_dir / 'pareto.png')


def _mean_and_spread(rewards: Sequence[float]) -> dict[str, float] | None:
    return dict(mean=float(np.mean(rewards)), std=float(np.std(rewards))) if rewards else None
