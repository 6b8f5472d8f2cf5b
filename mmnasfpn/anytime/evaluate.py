"""Evaluate an anytime detector: the AP, size and latency of every exit."""
import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.evaluation import CocoMetric
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS as METRIC_CLASSES
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from rich.markup import escape
from rich.progress import track
from torch.utils.data import DataLoader

from mmnasfpn._checks import check_whole_number
from mmnasfpn.analysis.coco_metrics import METRICS
from mmnasfpn.analysis.complexity import Complexity
from mmnasfpn.anytime.latency import ExitLatency, summarize, time_exits
from mmnasfpn.anytime.report import AnytimeReport, ExitReport, area_under_ap
from mmnasfpn.anytime.slim import count_exits, exits_of, spread_head
from mmnasfpn.checkpoints.fit import check_classes, classes_of, load_weights, state_dict_of
from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.engine.preflight import check_data
from mmnasfpn.models.detectors import AnytimeDetector
from mmnasfpn.models.detectors.calibration import machine_of
from mmnasfpn.registry import class_of

#: The :data:`METRICS` of each exit by name.
ExitMetrics = dict[int, dict[str, float]]


def evaluate_anytime(cfg: Config, checkpoints: Sequence[str], plain_checkpoints: Sequence[str] = (),
                     num_timed: int = 30, trust_checkpoint: bool = False) -> AnytimeReport:
    """Evaluate all exits of checkpoints in one pass each over the validation set.

    Args:
        cfg (Config): A config whose model is an ``AnytimeDetector``.
        checkpoints (Sequence[str]): Its checkpoints, of several seeds for instance.
        plain_checkpoints (Sequence[str]): Checkpoints of the plain detector of the same size, whose
            head is put after every exit: what the exits are without deep supervision.
        num_timed (int): On how many images the latency is measured. Defaults to 30.
        trust_checkpoint (bool): Read checkpoints in full, whatever they make Python run. Defaults to
            False: weights only.

    Raises:
        FileNotFoundError, ValueError: If config, data or a checkpoint do not fit.
    """
    exits_of(cfg)
    check_whole_number('num_timed', num_timed, 1)
    if not checkpoints:
        raise ValueError('checkpoints is empty, but must name at least one')
    for path in (*checkpoints, *plain_checkpoints):
        check_checkpoint(path)
    evaluator = _box_evaluator(cfg)
    classes = check_validation_set(cfg)
    model = build_anytime(cfg)
    loader = Runner.build_dataloader(copy.deepcopy(cfg.val_dataloader), seed=0)
    images: Any = loader.dataset

    def evaluate(path: str, is_plain: bool = False) -> ExitMetrics:
        load_anytime(model, path, trust_checkpoint, classes, is_plain)
        return _evaluate_exits(model, loader, evaluator, path)

    load_anytime(model, checkpoints[0], trust_checkpoint, classes)
    latencies, image_size = _time_images(model, images, num_timed)
    deep = [evaluate(path) for path in checkpoints]
    plain = [evaluate(path, is_plain=True) for path in plain_checkpoints]
    costs = count_exits(cfg, image_size)
    exits = [_report(latency, costs[latency.exit_stack], deep, plain) for latency in latencies]
    return AnytimeReport(
        str(cfg.filename), list(checkpoints), list(plain_checkpoints), len(images), image_size,
        machine_of(next(model.parameters()).device), exits,
        area_under_ap([latency.total for latency in latencies], [part.metrics['AP'] for part in exits]))


def _evaluate_exits(model: AnytimeDetector, loader: DataLoader, evaluator: Mapping[str, Any],
                    name: str) -> ExitMetrics:
    """Evaluate all exits in one pass; the metrics are 0 where an exit detects nothing."""
    dataset: Any = loader.dataset
    evaluators = {exit_stack: Evaluator(copy.deepcopy(evaluator)) for exit_stack in model.exits}
    for each in evaluators.values():
        each.dataset_meta = dataset.metainfo
    detected: Counter[int] = Counter()
    for batch in track(loader, f'Evaluating {escape(name)}'):
        for exit_stack, samples in model.anytime(batch):
            detected[exit_stack] += sum(len(sample.pred_instances) for sample in samples)
            evaluators[exit_stack].process(samples, batch)
    metrics = {}
    for exit_stack, each in evaluators.items():
        values = each.evaluate(len(dataset))
        if not detected[exit_stack]:  # MMDetection then gives none
            values = dict.fromkeys(METRICS.values(), 0.0)
        metrics[exit_stack] = {name: float(values[key]) for name, key in METRICS.items()}
    return metrics


def build_anytime(cfg: Config) -> AnytimeDetector:
    """Build the model of a config on this machine's device, in evaluation mode."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    return MODELS.build(cfg.model).to(get_device()).eval()


def load_anytime(model: AnytimeDetector, path: str, trust_checkpoint: bool,
                 classes: Sequence[str] | None = None, is_plain: bool = False) -> None:
    """Load a checkpoint of some classes, or that of a plain detector, its head after every exit."""
    checkpoint = load_checkpoint(path, trust=trust_checkpoint)
    if classes is not None:
        check_classes(classes_of(checkpoint), classes)
    state_dict = state_dict_of(checkpoint)
    if is_plain:
        state_dict = spread_head(state_dict, model.state_dict())
    load_weights(model, state_dict)


def check_checkpoint(path: str) -> None:
    """Raise a FileNotFoundError unless there is a checkpoint of this path."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'checkpoint is {path!r}, but there is no such file')


def check_validation_set(cfg: Config) -> Sequence[str] | None:
    """Check the validation set and return its classes."""
    if cfg.get('val_dataloader') is None:
        raise ValueError('the config has no val_dataloader, whose images are used here: give it one')
    data = check_data(cfg, ('val_dataloader',))
    data.warn()
    return data.classes


def _time_images(model: AnytimeDetector, images: Any,
                 num_timed: int) -> tuple[list[ExitLatency], tuple[int, int]]:
    """Return the latency of each exit on the first images, and rows and columns of most of them."""
    batches = [pseudo_collate([images[index]]) for index in range(min(num_timed, len(images)))]
    runs = time_exits(model, batches)
    (_, rows, columns), _ = Counter(run.input_shape for run in runs).most_common(1)[0]
    return summarize(runs), (rows, columns)


def _report(latency: ExitLatency, cost: Complexity, deep: Sequence[ExitMetrics],
            plain: Sequence[ExitMetrics]) -> ExitReport:
    """Put together what is known of an exit, with the metrics of all checkpoints."""
    k = latency.exit_stack
    means = {name: float(np.mean([metrics[k][name] for metrics in deep])) for name in METRICS}
    return ExitReport(k, cost.params, cost.flops, latency, means,
                      [metrics[k]['AP'] for metrics in deep], [metrics[k]['AP'] for metrics in plain])


def _box_evaluator(cfg: Config) -> dict[str, Any]:
    """Return the config's CocoMetric, for all metrics of boxes and no files."""
    evaluators = cfg.get('val_evaluator') or []
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        if issubclass(class_of(METRIC_CLASSES, evaluator, cfg), CocoMetric):
            return dict(evaluator, metric='bbox', metric_items=None, format_only=False, prefix='coco',
                        outfile_prefix=None)
    raise ValueError("val_evaluator has no dict(type='mmdet.CocoMetric', ann_file=...), which gives the "
                     'AP of boxes: give it one')
