"""The proxy task: train a detector for a short time (section 4.2)."""
import math
import os
import random
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from mmnasfpn.datasets.annotations import FileStamp
from mmnasfpn.engine.preflight import check_data, check_model
from mmnasfpn.engine.run import build_runner
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.rewards import REWARDS, Reward, nas_fpn_of, with_genotype
from mmnasfpn.search.space import SearchSpace

_CHECK_LOSS_EVERY = 10  # steps
_VAL_INTERVAL = 1000  # steps, MMEngine's default in a schedule of steps


class _KeepMetrics(Hook):
    """Keep what the last evaluation returned, and report those before it."""

    def __init__(self, num_reports: int, report: Callable[[int, Mapping[str, float]], None]) -> None:
        self.metrics: dict[str, float] | None = None
        self.num_reports = num_reports
        self.report = report
        self.step = 0

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        self.metrics = dict(metrics or {})
        self.step += 1
        if self.step <= self.num_reports:
            self.report(self.step, self.metrics)


class _StopAtNaN(Hook):
    """Stop a training whose loss is no longer a number."""

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Mapping[str, Any] | None = None) -> None:
        if self.every_n_train_iters(runner, _CHECK_LOSS_EVERY):
            loss = float((outputs or {}).get('loss', 0))
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f'training diverged: the loss is {loss} at step {runner.iter + 1}')


@REWARDS.register_module()
class ProxyTask(Reward):
    """Train the config with a genotype, and return a metric of the held-out images (section 4.2).

    It trains the whole schedule of the config, whose training and validation images it uses, and
    evaluates at the end only; where a pruner is to stop what is not promising, after each epoch, or in
    a schedule of steps each ``val_interval``. A detector that detects nothing has the reward 0.

    Args:
        metric (str): Name of the metric. Defaults to ``'coco/bbox_mAP'``, the AP.

    Raises:
        ValueError: If the config has no NASFPN neck of this package, or its neck does not have the
            levels of the space.
    """

    def __init__(self, cfg: Config, space: SearchSpace, metric: str = 'coco/bbox_mAP') -> None:
        super().__init__(cfg, space)
        self.metric = metric
        self.checked: frozenset[FileStamp] = frozenset()  # annotation files that were found sound
        num_outs = nas_fpn_of(cfg).get('num_outs')
        if num_outs != space.num_levels:
            raise ValueError(f'the neck has num_outs={num_outs}, but the space has {space.num_levels} '
                             f'levels, {space.min_level} to {space.max_level}: make them agree')

    @property
    def num_reports(self) -> int:
        """How many evaluations there are before the last one, where they are wanted."""
        schedule = self.cfg.train_cfg
        if (epochs := schedule.get('max_epochs')) is not None:
            return epochs - 1
        return (schedule.max_iters - 1) // schedule.get('val_interval', _VAL_INTERVAL)

    def check(self) -> None:
        """Draw missing shapes, and check data, neck and head against each other.

        Raises:
            FileNotFoundError, ValueError: If something is missing or does not fit.
        """
        for key in ('train_dataloader', 'val_dataloader', 'val_evaluator', 'train_cfg', 'val_cfg'):
            if self.cfg.get(key) is None:
                raise ValueError(f'the config has no {key}, but the reward of a genotype is what its '
                                 'evaluator says of the trained detector: give it one')
        init_default_scope(self.cfg.get('default_scope', 'mmdet'))
        data = check_data(self.cfg, ('train_dataloader', 'val_dataloader'))
        data.warn()
        cfg = with_genotype(self.cfg, self.space.sample(random.Random(0)))
        check_model(MODELS.build(cfg.model), data.classes)
        self.checked = data.checked

    def __call__(self, genotype: Genotype, work_dir: str | os.PathLike[str]) -> float:
        """Return the metric of the trained detector."""
        def report(step: int, metrics: Mapping[str, float]) -> None:
            self.report(step, self.metric_of(metrics))

        return self.metric_of(train_and_evaluate(
            self.cfg, genotype, work_dir, self.checked,
            0 if self.reporter is None else self.num_reports, report))

    def metric_of(self, metrics: Mapping[str, float]) -> float:
        """Return the metric among those of an evaluation.

        Raises:
            ValueError: If it is not among them.
        """
        if metrics and self.metric not in metrics:
            raise ValueError(f'reward: metric is {self.metric!r}, but the evaluator of the config '
                             f"returns {', '.join(sorted(metrics))}")
        return metrics.get(self.metric, 0.0)  # MMDetection returns none where nothing is detected


def train_and_evaluate(cfg: Config, genotype: Genotype, work_dir: str | os.PathLike[str],
                       checked: frozenset[FileStamp] = frozenset(), num_reports: int = 0,
                       report: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
                       ) -> dict[str, Any]:
    """Train a config with a genotype and return the metrics after its last step.

    Args:
        cfg (Config): The config.
        genotype (Genotype): The pyramid.
        work_dir (str | PathLike): Where logs go. No checkpoints are kept.
        checked (frozenset[FileStamp]): Annotation files that were checked before. Defaults to none.
        num_reports (int): How many evaluations before the last one are reported. Defaults to 0: there
            is a single one.
        report (Callable): Takes the number of such an evaluation, counted from 1, and its metrics.

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
    epochs = cfg.train_cfg.get('max_epochs')
    if not num_reports:
        cfg.train_cfg.val_interval = epochs or cfg.train_cfg.get('max_iters')
    elif epochs:
        cfg.train_cfg.val_interval = 1
    runner = build_runner(cfg, ('train_dataloader', 'val_dataloader'), strict_checkpoint=False,
                          checked=checked)
    keep = _KeepMetrics(num_reports, report)
    runner.register_hook(keep)
    runner.register_hook(_StopAtNaN())
    runner.train()
    for name, parameter in runner.model.named_parameters():
        if not parameter.isfinite().all():
            raise FloatingPointError(f'training diverged: {name} is not finite')
    if keep.metrics is None:
        raise ValueError('the training ended without an evaluation: take out what stops it early')
    return keep.metrics
