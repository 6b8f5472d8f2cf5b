"""The proxy task: train a detector for a short time (section 4.2)."""
import copy
import math
import os
import random
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from mmnasfpn.datasets.annotations import FileStamp
from mmnasfpn.engine.preflight import check_data, check_model
from mmnasfpn.engine.run import build_runner
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.rewards import nas_fpn_of
from mmnasfpn.search.space import SearchSpace

_CHECK_LOSS_EVERY = 10  # steps


class _KeepMetrics(Hook):
    """Keep what the last evaluation returned."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] | None = None

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        self.metrics = dict(metrics or {})


class _StopAtNaN(Hook):
    """Stop a training whose loss is no longer a number."""

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Mapping[str, Any] | None = None) -> None:
        if self.every_n_train_iters(runner, _CHECK_LOSS_EVERY):
            loss = float((outputs or {}).get('loss', 0))
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f'training diverged: the loss is {loss} at step {runner.iter + 1}')


def check_proxy_task(cfg: Config, space: SearchSpace) -> frozenset[FileStamp]:
    """Check data and model of a config before a search; missing shapes are drawn.

    Returns:
        frozenset[FileStamp]: The annotation files, which trials need not check again.

    Raises:
        FileNotFoundError, ValueError: If something is missing or does not fit.
    """
    for key in ('train_dataloader', 'val_dataloader', 'val_evaluator', 'train_cfg', 'val_cfg'):
        if cfg.get(key) is None:
            raise ValueError(f'the config has no {key}, but the reward of a genotype is what its '
                             'evaluator says of the trained detector: give it one')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    data = check_data(cfg, ('train_dataloader', 'val_dataloader'))
    data.warn()
    check_model(MODELS.build(with_genotype(cfg, space.sample(random.Random(0))).model), data.classes)
    return data.checked


def with_genotype(cfg: Config, genotype: Genotype) -> Config:
    """Return a copy of a config with this genotype in its neck."""
    cfg = copy.deepcopy(cfg)
    nas_fpn_of(cfg).genotype = genotype.to_dict()
    return cfg


def train_and_evaluate(cfg: Config, genotype: Genotype, work_dir: str | os.PathLike[str],
                       checked: frozenset[FileStamp] = frozenset()) -> dict[str, Any]:
    """Train a config with a genotype and return the metrics after its last step.

    Args:
        cfg (Config): The config.
        genotype (Genotype): The pyramid.
        work_dir (str | PathLike): Where logs go. No checkpoints are kept.
        checked (frozenset[FileStamp]): Annotation files that were checked before. Defaults to none.

    Raises:
        FloatingPointError: If the loss or a weight becomes infinite or NaN.
        ValueError: If nothing was evaluated.
    """
    cfg = with_genotype(cfg, genotype)
    cfg.work_dir = str(work_dir)
    cfg.default_hooks = {**(cfg.get('default_hooks') or {}), 'checkpoint': None}
    # MMEngine evaluates after the last epoch or step in any case.
    cfg.train_cfg.pop('dynamic_intervals', None)
    cfg.train_cfg.val_begin = 1
    cfg.train_cfg.val_interval = cfg.train_cfg.get('max_epochs') or cfg.train_cfg.get('max_iters')
    runner = build_runner(cfg, ('train_dataloader', 'val_dataloader'), strict_checkpoint=False,
                          checked=checked)
    keep = _KeepMetrics()
    runner.register_hook(keep)
    runner.register_hook(_StopAtNaN())
    runner.train()
    for name, parameter in runner.model.named_parameters():
        if not parameter.isfinite().all():
            raise FloatingPointError(f'training diverged: {name} is not finite')
    if keep.metrics is None:
        raise ValueError('the training ended without an evaluation: take out what stops it early')
    return keep.metrics
