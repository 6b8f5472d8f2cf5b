"""The reward of shared weights: genotypes are evaluated with the weights of a supernet."""
import copy
import logging
import os
import random
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mmnasfpn._checks import check_whole_number
from mmnasfpn._files import atomic_path
from mmnasfpn.analysis.complexity import set_everywhere
from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.genotypes import Genotype
from mmnasfpn.search.proxy_task import ProxyTask
from mmnasfpn.search.rewards import REWARDS, with_genotype
from mmnasfpn.search.space import SearchSpace
from mmnasfpn.search.supernet import (
    build_supernet,
    check_supernet,
    copy_weights,
    finished_supernet,
    hash_of,
    measure_statistics,
    supernet_config,
    supernet_weights,
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
        warm_up (Mapping | None): ``dict(genotype=NAME_OR_FILE, steps=300)``: in the first steps train
            this pyramid of the space alone, which teaches backbone and head faster. Defaults to None:
            no step.

    Raises:
        ValueError: As :class:`ProxyTask`; or if ``num_batches`` is below 1, or ``warm_up`` lacks
            something or its pyramid is not in the space.
    """

    not_compared = ('checkpoint',)  # the record knows it by its hash, wherever it is

    def __init__(self, cfg: Config, space: SearchSpace, metric: str = 'coco/bbox_mAP',
                 checkpoint: str | os.PathLike[str] | None = None, num_batches: int = 8,
                 supernet: Mapping[str, Any] | None = None,
                 warm_up: Mapping[str, Any] | None = None) -> None:
        super().__init__(cfg, space, metric)
        check_whole_number('reward: num_batches', num_batches, 1)
        self.num_batches = num_batches
        self.checkpoint = checkpoint
        self.shared: Path | None = None  # file of what all trials read: weights, and images for norms
        self.supernet_cfg = supernet_config(cfg, space, supernet or {}, warm_up)

    @property
    def num_reports(self) -> int:
        """None: there is one evaluation."""
        return 0

    def check(self) -> None:
        """Check data, detector and metric, and the supernet where one is given.

        Raises:
            FileNotFoundError, ValueError: If something is missing or does not fit.
        """
        super().check()
        if self.cfg.get('load_from'):
            raise ValueError(f'load_from is {self.cfg.load_from!r}, but a supernet begins from nothing '
                             'but the weights of its backbone (init_cfg): leave load_from out')
        if self.checkpoint is not None and not check_supernet(self.checkpoint, self.supernet_cfg):
            print_log(f'the supernet {os.fspath(self.checkpoint)} was not trained as long as the config '
                      'says: if its training was stopped, its learning rate is still high, and rewards '
                      'are worse', logger='current', level=logging.WARNING)
        self._try_metric()

    def prepare(self, work_dir: Path, before: str) -> str:
        """Train the supernet, or go on with its training, unless there is one; return its hash.

        Raises:
            CheckpointError: If the supernet does not fit, diverged, or is not the record's.
            RuntimeError: If its training fails.
        """
        folder = work_dir / 'supernet'
        if self.checkpoint is None and before:
            self.checkpoint = finished_supernet(folder, self.supernet_cfg)
            if self.checkpoint is None:
                raise CheckpointError(f'the rewards of the record are those of a supernet, {before}, '
                                      f'that is not in {folder}: give its file as checkpoint of '
                                      'SharedWeights')
        elif self.checkpoint is None:
            self.checkpoint, self.prepare_cpu_seconds = train_supernet(self.supernet_cfg, folder)
        found = hash_of(self.checkpoint)
        if before not in ('', found):
            raise CheckpointError(f'the rewards of the record are those of another supernet, {before}, '
                                  f'than {os.fspath(self.checkpoint)}, which is {found}: give its file '
                                  'as checkpoint of SharedWeights, or another --work-dir for another '
                                  'search')
        self.shared = (work_dir / f'shared-{found}-{self.num_batches}.pt').absolute()
        if not self.shared.is_file():
            with atomic_path(self.shared) as unfinished:
                torch.save(dict(weights=supernet_weights(self.checkpoint),
                                batches=first_batches(self.cfg, self.num_batches)), unfinished)
        return found

    def __call__(self, genotype: Genotype, work_dir: str | os.PathLike[str]) -> float:
        """Return the metric of the detector with the shared weights."""
        assert self.shared is not None  # prepared
        shared = torch.load(self.shared, weights_only=True)
        cfg = with_genotype(self.cfg, genotype)
        detector: Any = MODELS.build(cfg.model)
        copy_weights(build_supernet(self.supernet_cfg, shared['weights']), detector)
        detector = detector.to(get_device())
        measure_statistics(detector, shared['batches'])
        return self.metric_of(evaluate_detector(detector, cfg))

    def _try_metric(self) -> None:
        """Evaluate a batch without training, since a metric that is not there must show before."""
        cfg = with_genotype(self.cfg, self.space.sample(random.Random(0)))
        set_everywhere(cfg.model.get('test_cfg'), 'score_thr', 0.0)  # to detect something
        detector: Any = MODELS.build(cfg.model)
        self.metric_of(evaluate_detector(detector.eval(), cfg, num_batches=1))


def first_batches(cfg: Config, number: int) -> list[Any]:
    """Return the images of the first batches of a config's training data, the same ones each time."""
    loader = copy.deepcopy(cfg.train_dataloader)
    loader.update(num_workers=1)  # what a worker draws follows from its seed
    batches: Any = Runner.build_dataloader(loader, seed=(cfg.get('randomness') or {}).get('seed') or 0)
    return [batch['inputs'] for batch in islice(batches, number)]


def evaluate_detector(detector: Any, cfg: Config, num_batches: int | None = None) -> dict[str, float]:
    """Return the metrics of a detector on all validation images of a config, or on the first batches."""
    loader: Any = Runner.build_dataloader(copy.deepcopy(cfg.val_dataloader), seed=0)
    evaluator = Evaluator(copy.deepcopy(cfg.val_evaluator))
    evaluator.dataset_meta = loader.dataset.metainfo
    with torch.no_grad():
        for batch in islice(loader, num_batches):
            evaluator.process(detector.val_step(batch), batch)
    return evaluator.evaluate(len(loader.dataset))
