"""The reward of shared weights: genotypes are evaluated with the weights of a supernet."""
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmnasfpn._checks import check_whole_number
from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.engine.run import build_runner
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.proxy_task import ProxyTask, with_genotype
from mmnasfpn.search.rewards import REWARDS
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
    level and op. It is trained once, before the first trial, by the schedule of the config. A trial takes
    the weights of its pyramid, measures the statistics of its batch normalisation, which depend on the
    pyramid, and returns a metric of the held-out images
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

    def __init__(self, cfg: Config, space: SearchSpace, metric: str = 'coco/bbox_mAP',
                 checkpoint: str | os.PathLike[str] | None = None, num_batches: int = 8,
                 supernet: Mapping[str, Any] | None = None) -> None:
        super().__init__(cfg, space, metric)
        check_whole_number('reward: num_batches', num_batches, 1)
        self.num_batches = num_batches
        self.checkpoint = checkpoint
        self.supernet_cfg = supernet_config(cfg, space, supernet or {})

    def check(self) -> None:
        """Check data and detector, and the supernet where one is given.

        Raises:
            FileNotFoundError, ValueError: If something is missing or does not fit.
        """
        super().check()
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
                raise CheckpointError(f'the rewards of the record are those of a supernet, {before}, that '
                                      f'is not in {folder}: give its file, reward.checkpoint=FILE')
        elif self.checkpoint is None:
            self.checkpoint = train_supernet(self.supernet_cfg, folder)
        found = hash_of(self.checkpoint)
        if before not in ('', found):
            raise CheckpointError(f'the rewards of the record are those of another supernet, {before}, '
                                  f'than {os.fspath(self.checkpoint)}, which is {found}: give its file, '
                                  'reward.checkpoint=FILE, or another --work-dir for a new search')
        return found

    def __call__(self, genotype: Genotype, work_dir: str | os.PathLike[str]) -> float:
        """Return the metric of the detector with the shared weights."""
        assert self.checkpoint is not None  # prepared
        cfg = with_genotype(self.cfg, genotype)
        cfg.work_dir = str(work_dir)
        cfg.load_from, cfg.resume, cfg.custom_hooks = None, False, []
        runner = build_runner(cfg, ('train_dataloader', 'val_dataloader'), strict_checkpoint=False,
                              checked=self.checked)
        copy_weights(load_supernet(self.supernet_cfg, self.checkpoint), runner.model)
        loader = runner.build_dataloader(cfg.train_dataloader, seed=runner.seed)
        measure_statistics(runner.model, islice(loader, self.num_batches))
        return self.metric_of(runner.val())
