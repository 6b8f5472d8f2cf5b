"""Shared weights: a supernet is trained once, and genotypes are evaluated with its weights."""
import copy
import hashlib
import os
import random
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, MODELS, init_default_scope
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmnasfpn._checks import check_whole_number
from mmnasfpn.checkpoints.fit import state_dict_of
from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.engine.run import build_runner, train
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.proxy_task import ProxyTask, with_genotype
from mmnasfpn.search.rewards import REWARDS, nas_fpn_of
from mmnasfpn.search.space import SearchSpace


@HOOKS.register_module('mmnasfpn.SampleGenotypeHook', force=True)
class SampleGenotypeHook(Hook):
    """Train a supernet: run another pyramid of the space at each step, each as likely.

    The pyramid of a step depends on the seed and the step alone: it is the same in all processes, and in
    a training that was stopped and goes on.

    Args:
        space (Mapping): Arguments of :class:`SearchSpace`.
        seed (int): Seed. Defaults to 0.
    """

    def __init__(self, space: Mapping[str, Any], seed: int = 0) -> None:
        self.space = SearchSpace(**space)
        self.seed = seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Draw the pyramid of the step."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.neck.set_genotype(self.space.sample(random.Random(f'{self.seed} {runner.iter}')))


@REWARDS.register_module()
class SharedWeights(ProxyTask):
    """Evaluate a pyramid with the weights of a supernet, without training it.

    The supernet holds, for each stack and cell, one convolution that serves every choice of inputs,
    level and op. It is trained once, before the first trial, by the schedule of the config. A trial takes
    the weights of its pyramid, measures the statistics of its batch normalisation anew, as they depend on
    the pyramid, and returns a metric of the held-out images
    (`Guo et al., 2020 <https://arxiv.org/abs/1904.00420>`_).

    Args:
        metric (str): Name of the metric. Defaults to ``'coco/bbox_mAP'``, the AP.
        checkpoint (str | PathLike | None): A supernet that was trained for this config and space.
            Defaults to None: one is trained, in the folder ``supernet`` of the search's work dir.
        num_batches (int): Training batches from which statistics are measured. Defaults to 8.
        supernet (Mapping): What the training of the supernet has different from the config, e.g.
            ``dict(train_cfg=dict(max_epochs=24))``. Defaults to nothing.
    """

    def __init__(self, cfg: Config, space: SearchSpace, metric: str = 'coco/bbox_mAP',
                 checkpoint: str | os.PathLike[str] | None = None, num_batches: int = 8,
                 supernet: Mapping[str, Any] | None = None) -> None:
        super().__init__(cfg, space, metric)
        check_whole_number('reward: num_batches', num_batches, 1)
        self.num_batches = num_batches
        self.checkpoint = checkpoint
        self.supernet_cfg = supernet_config(cfg, space)
        self.supernet_cfg.merge_from_dict(dict(supernet or {}))

    def prepare(self, work_dir: Path) -> None:
        """Train the supernet, or go on with its training, unless there is one."""
        if self.checkpoint is None:
            self.checkpoint = train_supernet(self.supernet_cfg, work_dir / 'supernet')

    def __call__(self, genotype: Genotype, work_dir: str | os.PathLike[str]) -> float:
        """Return the metric of the detector of the shared weights."""
        cfg = with_genotype(self.cfg, genotype)
        cfg.work_dir = str(work_dir)
        cfg.default_hooks = {**(cfg.get('default_hooks') or {}), 'checkpoint': None}
        runner = build_runner(cfg, ('train_dataloader', 'val_dataloader'), strict_checkpoint=False,
                              checked=self.checked)
        copy_weights(self.load_supernet(), runner.model)
        measure_statistics(runner.model, islice(runner.build_dataloader(cfg.train_dataloader),
                                                self.num_batches))
        metrics = runner.val()
        return self.metric_of(metrics)

    def load_supernet(self) -> nn.Module:
        """Return the trained supernet's detector."""
        init_default_scope(self.cfg.get('default_scope', 'mmdet'))
        supernet = MODELS.build(self.supernet_cfg.model)
        supernet.load_state_dict(state_dict_of(load_checkpoint(self.checkpoint)))
        return supernet


def supernet_config(cfg: Config, space: SearchSpace, seed: int = 0) -> Config:
    """Return the config that trains the supernet of a search."""
    cfg = copy.deepcopy(cfg)
    neck = nas_fpn_of(cfg)
    neck.type = 'mmnasfpn.SuperNASFPN'
    neck.cell_levels = [list(space.levels_of(cell)) for cell in range(space.num_cells)]
    neck.genotype = space.sample(random.Random(seed)).to_dict()
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()),
                        dict(type='mmnasfpn.SampleGenotypeHook', space=space.to_dict(), seed=seed)]
    cfg.find_unused_parameters = True  # norms of levels that a step does not use
    return cfg


def train_supernet(cfg: Config, work_dir: Path) -> Path:
    """Train a supernet, or go on with its training; return its checkpoint."""
    done = work_dir / 'supernet.txt'
    if not done.is_file():
        cfg = copy.deepcopy(cfg)
        cfg.work_dir = str(work_dir)
        train(cfg, resume=(work_dir / 'last_checkpoint').is_file())
        done.write_text((work_dir / 'last_checkpoint').read_text())
    return Path(done.read_text().strip())


def copy_weights(supernet: nn.Module, detector: nn.Module) -> None:
    """Give a plain detector the weights that its pyramid has in a supernet."""
    for name, part in detector.named_children():
        if name == 'neck':
            supernet.neck.copy_weights_to(part)
        else:
            part.load_state_dict(getattr(supernet, name).state_dict())


@torch.no_grad()
def measure_statistics(detector: nn.Module, batches: Iterable[Any]) -> None:
    """Measure the statistics of batch normalisation in neck and heads anew: their means over batches."""
    detector.eval()
    norms = [module for name, part in detector.named_children() if name != 'backbone'
             for module in part.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
        norm.train()
    for batch in batches:
        data = detector.data_preprocessor(batch, False)
        detector(**data, mode='tensor')
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    detector.eval()


def hash_of(checkpoint: str | os.PathLike[str]) -> str:
    """Return the first digits of the SHA-256 of a file."""
    return hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()[:16]
