"""Supernets: detectors that hold the weights of all pyramids of a space."""
import copy
import hashlib
import json
import os
import random
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmnasfpn._checks import check_whole_number
from mmnasfpn._files import write_text
from mmnasfpn.checkpoints.fit import load_weights, state_dict_of, unwrapped
from mmnasfpn.checkpoints.safe import CheckpointError, load_checkpoint
from mmnasfpn.engine.hooks.resume import last_checkpoint
from mmnasfpn.engine.preflight.data_config import leaves
from mmnasfpn.engine.run import train
from mmnasfpn.genotypes import Genotype, get_genotype
from mmnasfpn.registry import HOOKS
from mmnasfpn.search.evaluation import cpu_seconds
from mmnasfpn.search.processes import end_with_parent, kill_group, visible_gpus
from mmnasfpn.search.rewards import nas_fpn_of
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.template import context_for_gpus, start_template

_TRAINED_FOR = 'mmnasfpn:supernet'  # in the meta data of a checkpoint
_HOOK = 'mmnasfpn.SampleGenotypeHook'


@HOOKS.register_module()
class SampleGenotypeHook(Hook):
    """Train a supernet: run another pyramid of the space at each step, each as likely.

    The pyramid of a step follows from the seed and the step alone: it is the same in all processes, and
    in a training that was stopped and goes on. Checkpoints say what they were trained for.

    Args:
        space (Mapping): Arguments of :class:`SearchSpace`.
        seed (int): Seed. Defaults to 0.
        warm_up (Mapping | None): ``genotype``, a pyramid of the space, and ``steps``: for how many steps
            it alone is trained first. Defaults to None: for none.
    """

    def __init__(self, space: Mapping[str, Any], seed: int = 0,
                 warm_up: Mapping[str, Any] | None = None) -> None:
        self.space = SearchSpace(**space)
        self.seed = seed
        self.warm_up = warm_up

    def genotype(self, step: int) -> Genotype:
        """Return the pyramid of a step, counted from 0."""
        if self.warm_up is not None and step < self.warm_up['steps']:
            return get_genotype(self.warm_up['genotype'])
        return self.space.sample(random.Random(f'{self.seed} {step}'))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Give the neck the pyramid of the step."""
        unwrapped(runner.model).neck.set_genotype(self.genotype(runner.iter))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what the supernet is trained for."""
        checkpoint['meta'][_TRAINED_FOR] = json.dumps(_trained_for(runner.cfg))


def supernet_config(cfg: Config, space: SearchSpace, changes: Mapping[str, Any],
                    warm_up: Mapping[str, Any] | None = None) -> Config:
    """Return the config that trains the supernet of a search.

    Args:
        cfg (Config): The config of the search.
        space (SearchSpace): What is searched.
        changes (Mapping): What else differs from that config, e.g.
            ``dict(train_cfg=dict(max_epochs=24))``.
        warm_up (Mapping | None): As for :class:`SampleGenotypeHook`.

    Raises:
        ValueError: If the model is to differ, or both epochs and steps are counted, or ``warm_up``
            does not fit.
    """
    cfg = copy.deepcopy(cfg)
    for key in ('search_space', 'reward', 'controller', 'num_trials'):
        cfg.pop(key, None)
    neck = nas_fpn_of(cfg)
    neck.type = 'mmnasfpn.SuperNASFPN'
    neck.cell_levels = [list(space.levels_of(cell)) for cell in range(space.num_cells)]
    neck.genotype = space.sample(random.Random(0)).to_dict()
    # Few of a pyramid's weights are its own: they need no DropBlock.
    neck.pop('dropblock_cfg', None)
    if 'model' in changes:
        raise ValueError("reward: supernet has 'model', but a trial's detector must be the supernet's: "
                         'change the model of the config')
    cfg.merge_from_dict(dict(changes))
    if {'max_epochs', 'max_iters'} <= set(cfg.get('train_cfg') or ()):
        raise ValueError('reward: the config and supernet together have both max_epochs and max_iters '
                         'in train_cfg: give supernet the one that the config has')
    # What one genotype of many reaches is no reason to stop.
    hooks = [hook for hook in cfg.get('custom_hooks') or ()
             if not str(hook.get('type')).endswith(('DropBlockRampHook', 'EarlyStoppingHook'))]
    sampling = dict(type=_HOOK, space=space.to_dict())
    if warm_up is not None:
        sampling['warm_up'] = _checked_warm_up(warm_up, space)
    cfg.custom_hooks = [*hooks, dict(type='mmdet.CheckInvalidLossHook', interval=50), sampling]
    # A training that was killed goes on from what this leaves in the work dir.
    steps = (cfg.get('train_cfg') or {}).get('max_iters')
    cfg.default_hooks = {**(cfg.get('default_hooks') or {}), 'checkpoint': dict(
        type='CheckpointHook', by_epoch=steps is None, interval=max(1, steps // 20) if steps else 1,
        max_keep_ckpts=2)}
    cfg.find_unused_parameters = True  # norms of levels that a step does not use
    return cfg


def _checked_warm_up(warm_up: Mapping[str, Any], space: SearchSpace) -> dict[str, Any]:
    if set(warm_up) != {'genotype', 'steps'}:
        raise ValueError(f'reward: warm_up has {", ".join(sorted(warm_up)) or "nothing"}, but must have '
                         'genotype and steps')
    check_whole_number('reward: warm_up.steps', warm_up['steps'], 1)
    genotype = get_genotype(warm_up['genotype'])
    try:
        space.encode(genotype)
    except ValueError as error:
        raise ValueError(f'reward: warm_up: {error}') from None
    return dict(genotype=genotype.to_dict(), steps=warm_up['steps'])


def train_supernet(cfg: Config, work_dir: Path) -> tuple[Path, float]:
    """Train a supernet in a process of its own, or go on with a training.

    Its config is in the work dir too, so that another command, on several GPUs, may train it first.

    Returns:
        tuple[Path, float]: Its checkpoint, and the seconds of all processors that this call took. What
        an interrupted one took is not known.

    Raises:
        CheckpointError: If the work dir has a supernet of another config.
        RuntimeError: If the training fails.
    """
    seconds = 0.0
    if (checkpoint := finished_supernet(work_dir, cfg)) is None:
        cfg = copy.deepcopy(cfg)
        cfg.work_dir = str(work_dir)
        write_text(work_dir / 'config.py', cfg.pretty_text)
        context = start_template([])
        if visible_gpus():
            context = context_for_gpus(context)
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_train, args=(cfg.to_dict(), theirs))
        process.start()
        theirs.close()
        try:
            seconds = ours.recv()
            process.join()
        except EOFError:  # it failed
            process.join()
        finally:
            kill_group(process)
        checkpoint = finished_supernet(work_dir, cfg)
        if checkpoint is None:
            raise RuntimeError(f'the training of the supernet failed: its log is in {work_dir}. The '
                               'same command goes on with it')
    return checkpoint, seconds


def finished_supernet(work_dir: Path, cfg: Config) -> Path | None:
    """Return the checkpoint of a supernet whose training in a work dir has ended; None if it has not.

    Raises:
        CheckpointError: If the work dir has a supernet of another config, or lacks its last checkpoint.
    """
    checkpoint = last_checkpoint(work_dir)
    if checkpoint is None:
        return None
    return Path(checkpoint) if check_supernet(checkpoint, cfg) else None


def check_supernet(path: str | os.PathLike[str], cfg: Config) -> bool:
    """Refuse a checkpoint of another supernet than a config's.

    Returns:
        bool: Whether it was trained as long as the config says.

    Raises:
        CheckpointError: If it is of another space, data set or detector, or no supernet.
    """
    meta = load_checkpoint(path).get('meta') or {}
    if _TRAINED_FOR not in meta:
        raise CheckpointError(f'{os.fspath(path)} is no checkpoint of a supernet: give one that a '
                              'search with shared weights has trained')
    theirs, ours = json.loads(meta[_TRAINED_FOR]), _trained_for(cfg)
    for key, what in dict(space='search space', data='data set', model='detector').items():
        if differing := _difference(theirs[key], ours[key], key):
            raise CheckpointError(
                f'the supernet {os.fspath(path)} was trained for another {what}: {differing}. Give one '
                'that was trained for this config, or none, so that one is trained')
    epochs, steps = (cfg.train_cfg.get(key) for key in ('max_epochs', 'max_iters'))
    return meta['epoch'] >= epochs if steps is None else meta['iter'] >= steps


def supernet_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the weights of a supernet's checkpoint by their names.

    Raises:
        CheckpointError: If some are infinite or NaN.
    """
    weights = state_dict_of(load_checkpoint(path))
    for name, value in weights.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f'the training of the supernet {os.fspath(path)} diverged: {name} is '
                                  'not finite. Train it with a lower learning rate, in another work dir')
    return weights


def build_supernet(cfg: Config, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return the supernet of a config with these weights."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    supernet = MODELS.build(copy.deepcopy(cfg.model))  # detectors change what they are built from
    load_weights(supernet, weights)
    return supernet


def copy_weights(supernet: Any, detector: Any) -> None:
    """Give a plain detector the weights that its pyramid has in a supernet."""
    weights = {name: value for name, value in supernet.state_dict().items()
               if not name.startswith('neck.')}
    neck = {f'neck.{name}': value for name, value in detector.neck.state_dict().items()}
    detector.load_state_dict({**weights, **neck})
    supernet.neck.copy_weights_to(detector.neck)


@torch.no_grad()
def measure_statistics(detector: Any, batches: Iterable[Any]) -> None:
    """Measure the statistics of batch normalisation in neck and heads: their means over batches.

    Those of the backbone do not depend on the pyramid, and stay.

    Args:
        detector: A detector; its weights stay as they are, and its mode is that for evaluation then.
        batches (Iterable): The images of batches of a data loader, as tensors of any size each, or of
            one size.
    """
    detector.eval()
    norms = [module for name, part in detector.named_children() if name != 'backbone'
             for module in part.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # all batches count alike
        norm.train()
    for batch in batches:
        samples = [DetDataSample(metainfo=dict(
            img_shape=image.shape[-2:], ori_shape=image.shape[-2:], scale_factor=(1.0, 1.0)))
            for image in batch]
        data = detector.data_preprocessor(dict(inputs=batch, data_samples=samples))
        detector(**data, mode='tensor')
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    detector.eval()


def hash_of(path: str | os.PathLike[str]) -> str:
    """Return the first digits of the SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _train(cfg: dict, connection: Connection) -> None:
    """Train, and say at the end how many seconds of all processors that took: the supernet's process."""
    end_with_parent()
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg['custom_imports'])
    train(Config(cfg), resume=True)
    connection.send(cpu_seconds())


def _trained_for(cfg: Config) -> dict[str, Any]:
    """Return what a supernet must agree in with a search, as plain data."""
    hook = next(hook for hook in cfg.custom_hooks if hook['type'] == _HOOK)
    model = copy.deepcopy(cfg.model)
    model.neck.pop('genotype')
    model.pop('test_cfg', None)  # weights do not depend on it
    files = [os.path.join(str(part.get('data_root') or ''), str(part.get('ann_file')))
             for part in leaves(cfg.train_dataloader.dataset)]
    found = dict(space=hook['space'], model=model,
                 data=[hash_of(file) if os.path.isfile(file) else file for file in files])
    return json.loads(json.dumps(found, default=repr))


def _difference(theirs: Any, ours: Any, where: str) -> str:
    """Say where two pieces of plain data first differ; '' where they do not."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            if found := _difference(theirs.get(key), ours.get(key), f'{where}.{key}'):
                return found
        return ''
    return '' if theirs == ours else f'{where} was {theirs!r}, and is {ours!r}'
