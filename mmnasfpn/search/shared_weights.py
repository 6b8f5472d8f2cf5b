"""The reward of shared weights: genotypes are evaluated with the weights of a supernet."""
import copy
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mmnasfpn._checks import check_whole_number
from mmnasfpn._files import atomic_path
from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.proxy_task import ProxyTask
from mmnasfpn.search.rewards import REWARDS, with_genotype
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.supernet import (
    check_supernet,
    copy_weights,
    finished_supernet,
    hash_of,
    load_supernet,
    measure_statistics,
    supernet_config,
    train_supernet,
)


@REWARDS.register_module()
class SharedWeights(ProxyTask):
    """Evaluate a pyramid with the weights of a supernet, without training it.

    The supernet holds, for each stack and cell, one convolution that serves every choice of inputs,
    level and op. It is trained once, before the first trial, by the schedule of the config. A trial
    takes the weights of its pyramid, measures the statistics of its batch normalisation, which depend
    on the pyramid, and returns a metric of the held-out images
    (`Guo et al., 2020 <https://arxiv.org/abs/1904.00420>`_).

    Args:
        metric (str): Name of the metric. Defaults to ``'coco/bbox_mAP'``, the AP.
        checkpoint (str | PathLike | None): A supernet that was trained for this config and space.
            Defaults to None: one is trained, in the folder ``supernet`` of the search's work dir.
        num_batches (int): Training batches from which statistics are measured. Defaults to 8.
        supernet (Mapping): What the training of the supernet has different from the config, e.g.
            ``dict(train_cfg=dict(max_epochs=24))``. Defaults to nothing.

    Raises:
        ValueError: As :class:`ProxyTask`; or if ``num_batches`` is below 1.
    """

    not_compared = ('checkpoint',)  # the record knows it by its hash, wherever it is

    def __init__(self, cfg: Config, space: SearchSpace, metric: str = 'coco/bbox_mAP',
                 checkpoint: str | os.PathLike[str] | None = None, num_batches: int = 8,
                 supernet: Mapping[str, Any] | None = None) -> None:
        super().__init__(cfg, space, metric)
        check_whole_number('reward: num_batches', num_batches, 1)
        self.num_batches = num_batches
        self.checkpoint = checkpoint
        self.batches: Path | None = None  # file of images that statistics are measured on
        self.supernet_cfg = supernet_config(cfg, space, supernet or {})

    @property
    def num_reports(self) -> int:
        """None: there is one evaluation."""
        return 0

    def check(self) -> None:
        """Check data and detector, and the supernet where one is given.

        Raises:
            FileNotFoundError, ValueError: If something is missing or does not fit.
        """
        super().check()
        if self.cfg.get('load_from'):
            raise ValueError(f'load_from is {self.cfg.load_from!r}, but a supernet begins from nothing '
                             'but the weights of its backbone (init_cfg): leave load_from out')
        if self.checkpoint is not None:
            check_supernet(self.checkpoint, self.supernet_cfg)

    def prepare(self, work_dir: Path, before: str) -> str:
        """Train the supernet, or go on with its training, unless there is one; return its hash.

        Raises:
            CheckpointError: If the supernet does not fit, or is not the record's.
            RuntimeError: If its training fails.
        """
        folder = work_dir / 'supernet'
        if self.checkpoint is None and before:
            self.checkpoint = finished_supernet(folder, self.supernet_cfg)
            if self.checkpoint is None:
                raise CheckpointError(f'the rewards of the record are those of a supernet, {before}, '
                                      f'that is not in {folder}: give its file, reward.checkpoint=FILE')
        elif self.checkpoint is None:
            self.checkpoint, self.prepare_cpu_seconds = train_supernet(self.supernet_cfg, folder)
        found = hash_of(self.checkpoint)
        if before not in ('', found):
            raise CheckpointError(f'the rewards of the record are those of another supernet, {before}, '
                                  f'than {os.fspath(self.checkpoint)}, which is {found}: give its file, '
                                  'reward.checkpoint=FILE, or another --work-dir for a new search')
        self.batches = (work_dir / 'batches.pt').absolute()
        if not before or not self.batches.is_file():
            keep_batches(self.cfg, self.num_batches, self.batches)
        return found

    def __call__(self, genotype: Genotype, work_dir: str | os.PathLike[str]) -> float:
        """Return the metric of the detector with the shared weights."""
        assert self.checkpoint is not None and self.batches is not None  # prepared
        cfg = with_genotype(self.cfg, genotype)
        supernet = load_supernet(self.supernet_cfg, self.checkpoint)
        detector: Any = MODELS.build(cfg.model)
        copy_weights(supernet, detector)
        detector = detector.to(get_device())
        measure_statistics(detector, torch.load(self.batches, weights_only=True))
        return self.metric_of(evaluate_detector(detector, cfg))


def keep_batches(cfg: Config, number: int, path: Path) -> None:
    """Write the images of the first batches of a config's training data to a file."""
    loader: Any = Runner.build_dataloader(
        copy.deepcopy(cfg.train_dataloader), seed=(cfg.get('randomness') or {}).get('seed') or 0)
    batches = [batch['inputs'] for batch in islice(loader, number)]
    with atomic_path(path) as unfinished:
        torch.save(batches, unfinished)


def evaluate_detector(detector: Any, cfg: Config) -> dict[str, float]:
    """Return the metrics of a detector on the validation images of a config."""
    loader: Any = Runner.build_dataloader(copy.deepcopy(cfg.val_dataloader), seed=0)
    evaluator = Evaluator(copy.deepcopy(cfg.val_evaluator))
    evaluator.dataset_meta = loader.dataset.metainfo
    with torch.no_grad():
        for batch in loader:
            evaluator.process(detector.val_step(batch), batch)
    return evaluator.evaluate(len(loader.dataset))
