"""Evaluate an anytime detector: the AP, size and latency of every exit."""
import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner
from rich.markup import escape
from rich.progress import track
from torch.utils.data import DataLoader

from mmnasfpn._checks import check_whole_number
from mmnasfpn.analysis.coco_metrics import METRICS
from mmnasfpn.analysis.complexity import Complexity, count_complexity
from mmnasfpn.anytime.latency import ExitRun, summarize, time_exits
from mmnasfpn.anytime.report import AnytimeReport, ExitReport, area_under_ap
from mmnasfpn.anytime.slim import exits_of, slim_config, spread_head
from mmnasfpn.checkpoints.fit import check_classes, classes_of, load_weights, state_dict_of
from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.engine.preflight import check_data
from mmnasfpn.models.detectors import AnytimeDetector
from mmnasfpn.models.detectors.calibration import Calibration, InputLatencies, machine_of, model_of


def evaluate_anytime(cfg: Config, checkpoints: Sequence[str], plain_checkpoints: Sequence[str] = (),
                     num_timed: int = 30, trust_checkpoint: bool = False) -> AnytimeReport:
    """Evaluate all exits of checkpoints in one pass each over the validation set.

    Args:
        cfg (Config): A config whose model is an ``AnytimeDetector``.
        checkpoints (Sequence[str]): Its checkpoints, of several seeds for instance.
        plain_checkpoints (Sequence[str]): Checkpoints of the plain detector of the same size, whose
            head is put after every exit: what the exits are without deep supervision.
        num_timed (int): On how many pictures the latency is measured. Defaults to 30.
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
        _check_file(path)
    evaluator = _box_evaluator(cfg)
    classes = _check_validation_set(cfg)
    model = build_anytime(cfg)
    loader = Runner.build_dataloader(copy.deepcopy(cfg.val_dataloader), seed=0)
    pictures: Any = loader.dataset
    _load(model, checkpoints[0], trust_checkpoint, classes)
    runs = _time(model, [pseudo_collate([pictures[i]]) for i in range(min(num_timed, len(pictures)))])
    _, *image_size = Counter(run.input_shape for run in runs).most_common(1)[0][0]
    rows, columns = image_size
    costs = count_exits(cfg, (rows, columns))
    deep, plain = [], []
    for path in checkpoints:
        _load(model, path, trust_checkpoint, classes)
        deep.append(evaluate_exits(model, loader, evaluator, path))
    for path in plain_checkpoints:
        _load(model, path, trust_checkpoint, classes, is_plain=True)
        plain.append(evaluate_exits(model, loader, evaluator, path))
    reports = []
    for latency in summarize(runs):
        k = latency.exit_stack
        reports.append(ExitReport(
            k, costs[k].params, costs[k].flops, latency,
            {name: float(np.mean([found[k][name] for found in deep])) for name in METRICS},
            [found[k]['AP'] for found in deep], [found[k]['AP'] for found in plain]))
    return AnytimeReport(
        str(cfg.filename), list(checkpoints), list(plain_checkpoints), len(pictures), (rows, columns),
        machine_of(next(model.parameters()).device), reports,
        area_under_ap([report.latency.total for report in reports],
                      [report.metrics['AP'] for report in reports]))


def evaluate_exits(model: AnytimeDetector, loader: DataLoader, evaluator: Any,
                   name: str) -> dict[int, dict[str, float]]:
    """Evaluate all exits in one pass.

    Args:
        model (AnytimeDetector): The model, in evaluation mode.
        loader (DataLoader): The pictures.
        evaluator (Mapping): Config of MMDetection's ``CocoMetric``, for boxes.
        name (str): What is evaluated, for the progress bar.

    Returns:
        dict[int, dict[str, float]]: :data:`METRICS` of each exit, 0 where it detects nothing.
    """
    evaluators = {exit_stack: Evaluator(copy.deepcopy(evaluator)) for exit_stack in model.exits}
    dataset: Any = loader.dataset
    for each in evaluators.values():
        each.dataset_meta = dataset.metainfo
    detected = dict.fromkeys(model.exits, 0)
    for batch in track(loader, f'Evaluating {escape(name)}'):
        for exit_stack, samples in model.anytime(batch):
            detected[exit_stack] += sum(len(sample.pred_instances) for sample in samples)
            evaluators[exit_stack].process(samples, batch)
    metrics = {}
    for exit_stack, each in evaluators.items():
        values = each.evaluate(len(dataset))
        if detected[exit_stack] == 0:  # MMDetection then gives none
            values = dict.fromkeys(METRICS.values(), 0.0)
        metrics[exit_stack] = {name: float(values[key]) for name, key in METRICS.items()}
    return metrics


def calibrate(cfg: Config, checkpoint: str | None = None, images: Sequence[str] = (),
              image_size: tuple[int, int] | None = None, batch_size: int = 1, num_images: int = 20,
              num_runs: int = 30, trust_checkpoint: bool = False) -> tuple[Calibration, list[ExitRun]]:
    """Measure how long each exit takes on this machine.

    Args:
        cfg (Config): A config whose model is an ``AnytimeDetector``.
        checkpoint (str | None): Its checkpoint; NMS takes as long as there is to sort out. Defaults to
            None, random weights.
        images (Sequence[str]): Pictures to run, through the test pipeline. Defaults to the first of
            the validation set.
        image_size (tuple[int, int] | None): Rows and columns of noise to run in their place. Defaults
            to None.
        batch_size (int): Images at a time. Defaults to 1.
        num_images (int): How many pictures of the validation set. Defaults to 20.
        num_runs (int): How often each exit is run for each input shape. Defaults to 30.
        trust_checkpoint (bool): As in :func:`evaluate_anytime`.

    Returns:
        tuple[Calibration, list[ExitRun]]: For each shape of input, and all runs.

    Raises:
        FileNotFoundError, ValueError: If config, pictures or the checkpoint do not fit.
    """
    exits_of(cfg)
    for name, value in (('batch_size', batch_size), ('num_images', num_images), ('num_runs', num_runs),
                        *(('image_size', pixels) for pixels in image_size or ())):
        check_whole_number(name, value, 1)
    for path in images:
        if not Path(path).is_file():
            raise FileNotFoundError(f'images: there is no file {path}')
    if checkpoint is not None:
        _check_file(checkpoint)
    model = build_anytime(cfg)
    if checkpoint is not None:
        _load(model, checkpoint, trust_checkpoint)
    if image_size is not None:
        pictures: Iterable[Any] = [_noise(image_size)] * batch_size
    elif images:
        pipeline = Compose(get_test_pipeline_cfg(cfg))
        pictures = [pipeline(dict(img_path=path, img_id=0)) for path in images]
    else:
        _check_validation_set(cfg)
        dataset = DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset))
        pictures = [dataset[index] for index in range(min(num_images, len(dataset)))]
    by_shape: dict[tuple[int, ...], list[Any]] = {}
    for picture in pictures:
        padded = model.data_preprocessor(pseudo_collate([copy.deepcopy(picture)]), False)['inputs']
        by_shape.setdefault(tuple(padded.shape), []).append(picture)
    batches = [pseudo_collate(list(islice(cycle(same), start, start + batch_size)))
               for same in by_shape.values()
               for start in range(0, batch_size * num_runs, batch_size)]
    runs = _time(model, batches)
    inputs = []
    for shape in dict.fromkeys(run.input_shape for run in runs):  # in their order
        latencies = summarize([run for run in runs if run.input_shape == shape])
        inputs.append(InputLatencies(
            shape[0], shape[1:], {latency.exit_stack: latency.total_95 for latency in latencies}))
    machine = machine_of(next(model.parameters()).device)
    return Calibration(machine, model_of(model), tuple(inputs)), runs


def count_exits(cfg: Config, image_size: tuple[int, int]) -> dict[int, Complexity]:
    """Count the plain detector that each exit is, for one image of some rows and columns."""
    return {exit_stack: count_complexity(slim_config(cfg, exit_stack), image_size)
            for exit_stack in exits_of(cfg)}


def build_anytime(cfg: Config) -> AnytimeDetector:
    """Build the model of a config on this machine's device, in evaluation mode."""
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = MODELS.build(cfg.model).to(get_device())
    model.train(False)
    return model


def _time(model: AnytimeDetector, batches: Sequence[Any]) -> list[ExitRun]:
    return list(track(time_exits(model, batches), f'Timing {len(model.exits)} exits',
                      total=len(batches) * len(model.exits)))


def _load(model: AnytimeDetector, path: str, trust: bool, classes: Sequence[str] | None = None,
          is_plain: bool = False) -> None:
    """Load a checkpoint, or that of a plain detector, its head after every exit."""
    checkpoint = load_checkpoint(path, trust=trust)
    if classes is not None:
        check_classes(classes_of(checkpoint), classes)
    state_dict = state_dict_of(checkpoint)
    if is_plain:
        state_dict = spread_head(state_dict, model.state_dict())
    load_weights(model, state_dict)


def _check_validation_set(cfg: Config) -> Sequence[str] | None:
    """Check the validation set and return its classes."""
    if cfg.get('val_dataloader') is None:
        raise ValueError('the config has no val_dataloader, whose pictures are used here: give it one')
    data = check_data(cfg, ('val_dataloader',))
    data.warn()
    return data.classes


def _box_evaluator(cfg: Config) -> dict[str, Any]:
    """Return the config's CocoMetric, for all metrics of boxes and no files."""
    evaluators = cfg.get('val_evaluator') or []
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        kind = evaluator['type']
        if getattr(kind, '__name__', str(kind)).rpartition('.')[2] == 'CocoMetric':
            return dict(evaluator, metric='bbox', metric_items=None, format_only=False, prefix='coco',
                        outfile_prefix=None)
    raise ValueError("val_evaluator has no dict(type='mmdet.CocoMetric', ann_file=...), which gives the "
                     'AP of boxes: give it one')


def _check_file(checkpoint: str) -> None:
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint is {checkpoint!r}, but there is no such file')


def _noise(image_size: tuple[int, int]) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    sample = DetDataSample(metainfo=dict(
        img_shape=image_size, ori_shape=image_size, scale_factor=(1.0, 1.0)))
    return dict(inputs=torch.randint(256, (3, *image_size), dtype=torch.uint8, generator=generator),
                data_samples=sample)
