"""Find a pyramid: search by a cheap reward, train the best shortly, and the best of these in full."""
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Console

import mmnasfpn
from mmnasfpn._files import write_json
from mmnasfpn._markdown import to_table
from mmnasfpn.benchmark.seeds import Run, show_progress, train_seeds, write_children
from mmnasfpn.engine.config import find_config, load_config
from mmnasfpn.genotypes import Genotype, architecture_hash, get_genotype
from mmnasfpn.search.rewards import build_reward
from mmnasfpn.search.run import search, space_of
from mmnasfpn.search.settings import SearchSettings
from mmnasfpn.search.space import SearchSpace


@dataclass(frozen=True)
class Plan:
    """What is searched, what is trained, and against what.

    Args:
        search (str): Config of a search by a cheap reward, such as that of shared weights.
        final (str): Config that the finalists are trained with.
        shortlist (str | None): Config of a search in the same space whose reward orders good genotypes
            better, such as a short training. Defaults to None: the best of the search are the finalists.
        num_shortlisted (int): How many of the best of the search get that reward; what the search
            starts with gets it too. Defaults to 32.
        near (float | None): A share in [0, 1]: not the best of the search are taken, but the first
            whose reward is at least this share of its best. For a reward that tells good from bad, but
            not good from better. Defaults to None.
        num_drawn (int): How many more, which TPE draws having learned from these. Defaults to 0.
        num_finalists (int): How many of the best are trained in full. Defaults to 3.
        against (Sequence[str]): What they are compared with: genotypes, by names or ``.json`` files, and
            configs, ``.py``. Defaults to nothing.
        num_random (int): And how many random genotypes of the space. Defaults to 3.
        seeds (Sequence[int]): Seeds of the final trainings.
        options (Sequence[str]): Overrides of the configs of the final trainings, as ``a.b=value``.
    """

    search: str
    final: str
    shortlist: str | None = None
    num_shortlisted: int = 32
    near: float | None = None
    num_drawn: int = 0
    num_finalists: int = 3
    against: Sequence[str] = ()
    num_random: int = 3
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Stage:
    """What a stage took: how many genotypes or trainings it evaluated, and seconds of processors."""

    name: str
    config: str
    evaluated: int
    cpu_seconds: float


@dataclass(frozen=True)
class Found:
    """What was found, from the first stage to the last.

    Args:
        finalists (Mapping[str, Mapping]): The finalists by name: genotype, and what it has of the search
            and of the short list.
        others (Mapping[str, Genotype]): The genotypes that they are compared with, by name.
        configs (Sequence[str]): Paths of the configs of the final trainings.
        runs (Sequence[Run]): The final trainings.
        stages (Sequence[Stage]): What each stage took.
    """

    finalists: Mapping[str, Mapping[str, Any]]
    others: Mapping[str, Genotype]
    configs: Sequence[str]
    runs: Sequence[Run]
    stages: Sequence[Stage]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return dict(version=mmnasfpn.__version__, finalists=self.finalists,
                    others={name: genotype.to_dict() for name, genotype in self.others.items()},
                    stages=[asdict(stage) for stage in self.stages],
                    runs=[asdict(run) for run in self.runs])


def find(plan: Plan, work_dir: Path, settings: SearchSettings, console: Console) -> Found:
    """Find a pyramid; another call goes on where this one stopped, and repeats nothing.

    Args:
        plan (Plan): What is searched and trained.
        work_dir (Path): Gets a folder for each stage, and ``finalists/``, their genotypes.
        settings (SearchSettings): How to search. The number of workers is that of all stages.
        console (Console): Where to show progress.

    Raises:
        ValueError: If a config or genotype cannot be used, or the short list is of another space.
    """
    cfg = load_config(plan.search)
    references = _references(plan, space_of(cfg))
    settings = replace(settings, num_top=sys.maxsize)
    summary = search(cfg, work_dir / 'search', settings)
    stages = [_stage('search', plan.search, summary)]
    top = json.loads((work_dir / 'search/top.json').read_text())
    # Those that are known take no place of a finalist.
    candidates = _without(references, top if plan.near is None else _near(top, plan.near))
    number = plan.num_shortlisted if plan.shortlist else plan.num_finalists
    candidates = dict(islice(candidates.items(), number))
    if plan.shortlist:
        stage, candidates = _shorten(plan, candidates, references, work_dir / 'shortlist', settings)
        stages.append(stage)
    finalists = dict(islice(candidates.items(), plan.num_finalists))
    genotypes = {name: get_genotype(found['genotype']) for name, found in finalists.items()} | references
    for name in finalists:
        write_json(work_dir / 'finalists' / f'{name}.json', genotypes[name].to_dict())
    configs = write_children(find_config(plan.final), genotypes, work_dir / 'final/configs')
    configs += [find_config(path) for path in plan.against if path.endswith('.py')]
    runs = show_progress(
        train_seeds(configs, plan.seeds, work_dir / 'final', settings.num_workers or 1, plan.options),
        configs, len(configs) * len(plan.seeds), console)
    stages.append(Stage('final training', Path(plan.final).stem, len(runs),
                        sum(run.seconds for run in runs)))
    return Found(finalists, references, configs, runs, stages)


def finalists_to_markdown(finalists: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of the finalists: what they had in the search and in the short list."""
    lines = []
    for name, one in finalists.items():
        rewards = [f'{one[key]:.3f}' if one.get(key) is not None else '' for key in ('reward', 'short')]
        lines.append([name, *rewards])
    return to_table(['found', 'reward of the search', 'of the short list'], lines)


def stages_to_markdown(stages: Sequence[Stage]) -> str:
    """Return a table of what each stage took."""
    lines = [(stage.name, stage.config, f'{stage.evaluated:,}', f'{stage.cpu_seconds / 3600:.1f}')
             for stage in stages]
    total = sum(stage.cpu_seconds for stage in stages)
    return to_table(('stage', 'config', 'evaluated', 'CPU h'),
                    [*lines, ('all', '', '', f'{total / 3600:.1f}')])


def _references(plan: Plan, space: SearchSpace) -> dict[str, Genotype]:
    """Return the genotypes to compare with, after a check of all that comes after the search.

    Raises:
        ValueError, FileNotFoundError: If some of it would fail.
    """
    if plan.shortlist:
        cfg = load_config(plan.shortlist)
        if space_of(cfg) != space:
            raise ValueError(f'{plan.shortlist} searches another space than {plan.search}: give one of '
                             'the same')
        build_reward(cfg, space).check()
    build_reward(load_config(plan.final), space, dict(type='ProxyTask')).check()
    genotypes = space.random_genotypes(plan.num_random)
    for each in plan.against:
        if each.endswith('.py'):
            load_config(each)
            continue
        genotypes[Path(each).stem] = genotype = get_genotype(each)
        if genotype.num_levels != space.num_levels:
            raise ValueError(f'{each} has {genotype.num_levels} levels, but the space of {plan.search} '
                             f'has {space.num_levels}: give one that the final config can have')
    return genotypes


def _near(top: Sequence[Mapping[str, Any]], share: float) -> list[Mapping[str, Any]]:
    """Return what reaches a share of the best reward of all, the first trial first.

    Raises:
        ValueError: If no reward is above 0.
    """
    best = top[0]['reward']
    if not best > 0:
        raise ValueError(f'near is {share}, a share of the best reward, but that is {best:.3g}: take '
                         'the best')
    near = [one for one in top if one['reward'] >= share * best]
    return sorted(near, key=itemgetter('trial'))


def _without(known: Mapping[str, Genotype],
             top: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what a search found by names, without what is known, in the same order."""
    found = {}
    known_architectures = {architecture_hash(genotype) for genotype in known.values()}
    for one in top:
        architecture = architecture_hash(get_genotype(one['genotype']))
        if architecture not in known_architectures:
            found[f'found_{architecture[:6]}'] = dict(one)
    return found


def _shorten(plan: Plan, candidates: Mapping[str, dict[str, Any]], known: Mapping[str, Genotype],
             work_dir: Path, settings: SearchSettings) -> tuple[Stage, dict[str, dict[str, Any]]]:
    """Give candidates, and what is drawn after them, the reward of the short list: the best first."""
    assert plan.shortlist
    cfg = load_config(plan.shortlist)
    genotypes = {name: get_genotype(one['genotype']) for name, one in candidates.items()}
    settings = settings.for_given({**settings.start, **genotypes}, 'tpe')
    summary = search(cfg, work_dir, settings)
    if (missing := plan.num_drawn - summary['drawn']) > 0:
        over = summary['completed'] + summary['given_up']
        summary = search(cfg, work_dir, replace(
            settings, num_trials=over + missing, start={}, draws=True))
    top = _without(known, json.loads((work_dir / 'top.json').read_text()))
    drawn = dict(reward=None, trial=None)  # the search has not seen it
    found = {name: {**one, **candidates.get(name, drawn), 'short': one['reward']}
             for name, one in top.items()}
    return _stage('short list', plan.shortlist, summary), found


def _stage(name: str, config: str, summary: Mapping[str, Any]) -> Stage:
    """Return what a search took, by its summary."""
    return Stage(name, Path(config).stem, summary['unique'],
                 summary['cpu_seconds'] + summary['preparation']['cpu_seconds'])
