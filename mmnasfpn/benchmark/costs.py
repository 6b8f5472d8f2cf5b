"""What detectors cost: parameters, FLOPs, and their latency, measured against each other."""
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.analysis.complexity import count_complexity
from mmnasfpn.benchmark.measure import measure
from mmnasfpn.benchmark.seeds import Cost
from mmnasfpn.engine.config import load_config


def measure_costs(configs: Sequence[str | os.PathLike[str]], image_size: tuple[int, int],
                  rounds: int = 20, cfg_options: Mapping[str, Any] | None = None) -> dict[str, Cost]:
    """Count the detectors of configs, and time them in turn with random weights on the CPU.

    Args:
        configs (Sequence[str | PathLike]): Paths of configs.
        image_size (tuple[int, int]): Rows and columns of the image in pixels, before each detector's own
            padding.
        rounds (int): How often each runs. Defaults to 20.
        cfg_options (Mapping | None): Overrides of the configs, ``{'a.b.c': value}``. Defaults to None.

    Returns:
        dict[str, Cost]: By the names of the configs, without their suffix.
    """
    loaded = {Path(config).stem: load_config(config, cfg_options=cfg_options) for config in configs}
    times = measure({name: _detect(cfg, image_size) for name, cfg in loaded.items()}, range(rounds),
                    torch.device('cpu'))
    costs = {}
    for name, cfg in loaded.items():
        count = count_complexity(cfg, _padded(cfg, image_size))
        costs[name] = Cost(count.params, count.flops, times[name].median)
    return costs


def _padded(cfg: Config, image_size: tuple[int, int]) -> tuple[int, int]:
    divisor = cfg.model.data_preprocessor.get('pad_size_divisor', 1)
    rows, columns = (-(-size // divisor) * divisor for size in image_size)
    return rows, columns


def _detect(cfg: Config, image_size: tuple[int, int]) -> Callable[[], Any]:
    """Return what detects in one image."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    torch.manual_seed(0)
    detector: Any = MODELS.build(cfg.model)
    detector.train(False)
    # Random scores would all go into NMS, more of one model than of another.
    last = detector.roi_head if hasattr(detector, 'roi_head') else detector.bbox_head
    last.test_cfg.score_thr = 1.0
    rows, columns = _padded(cfg, image_size)
    sample = DetDataSample(metainfo=dict(img_shape=image_size, ori_shape=image_size,
                                         batch_input_shape=(rows, columns), scale_factor=(1.0, 1.0)))
    predict = torch.no_grad()(detector.predict)
    return partial(predict, torch.randn(1, 3, rows, columns), [sample])
