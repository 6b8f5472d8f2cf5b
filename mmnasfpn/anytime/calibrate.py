"""Measure how long each exit of an anytime detector takes on this machine."""
import copy
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS, init_default_scope

from mmnasfpn._checks import check_whole_number
from mmnasfpn.anytime.evaluate import build_anytime, check_checkpoint, check_validation_set, load_anytime
from mmnasfpn.anytime.latency import summarize, time_exits
from mmnasfpn.anytime.report import ShapeReport
from mmnasfpn.anytime.slim import count_exits, exits_of
from mmnasfpn.errors import UsageError
from mmnasfpn.export import AnytimeOnnxDetector
from mmnasfpn.models.detectors import AnytimeDetector
from mmnasfpn.models.detectors.calibration import Calibration, InputLatencies


def calibrate(cfg: Config, checkpoint: str | None = None, images: Sequence[str] = (),
              image_size: tuple[int, int] | None = None, batch_size: int = 1, num_images: int = 20,
              num_runs: int = 30, trust_checkpoint: bool = False,
              backend: str | None = None) -> tuple[Calibration, list[ShapeReport]]:
    """Measure how long each exit takes on this machine, for each shape of input.

    Args:
        cfg (Config): A config whose model is an ``AnytimeDetector``.
        checkpoint (str | None): A checkpoint of the model; NMS time depends on how many boxes pass the
            threshold. Or what ``tools/export_onnx.py --exits`` was given as its output. Defaults to
            None, random weights.
        images (Sequence[str]): Images to run, through the test pipeline. Defaults to the first of the
            validation set.
        image_size (tuple[int, int] | None): Rows and columns of noise to run instead. Defaults to None.
        batch_size (int): Images at a time. Defaults to 1.
        num_images (int): How many images of the validation set. Defaults to 20.
        num_runs (int): How often each exit is run for each input shape. Defaults to 30.
        trust_checkpoint (bool): Read the checkpoint in full, whatever it makes Python run. Defaults to
            False: weights only.
        backend (str | None): What runs exported exits: ``'onnx'``, ONNX Runtime, or ``'openvino'``.
            Defaults to None: ONNX Runtime.

    Returns:
        tuple[Calibration, list[ShapeReport]]: The calibration, and what was measured for it.

    Raises:
        FileNotFoundError: If the checkpoint or an image is missing.
        ValueError: If a number is not a whole number of at least 1, or config, data or the checkpoint
            do not fit.
    """
    for name, value in (('batch_size', batch_size), ('num_images', num_images), ('num_runs', num_runs),
                        *(('image_size', pixels) for pixels in image_size or ())):
        check_whole_number(name, value, 1)
    for path in images:
        if not Path(path).is_file():
            raise FileNotFoundError(f'images: there is no file {path}')
    is_exported = checkpoint is not None and checkpoint.endswith('.onnx')
    if backend is not None and not is_exported:
        raise UsageError(f'--backend is {backend!r}, which is for exported exits (.onnx): leave it out')
    if checkpoint is not None and not is_exported:
        check_checkpoint(checkpoint)
    exits = exits_of(cfg)
    model: AnytimeDetector | AnytimeOnnxDetector
    if checkpoint is not None and is_exported:
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        model = AnytimeOnnxDetector(checkpoint, backend or 'onnx')
        if list(model.exits) != exits:
            raise UsageError(f'{checkpoint} has the exits {list(model.exits)}, but the config {exits}: '
                             'give the config that it was exported with')
    else:
        model = build_anytime(cfg)
        if checkpoint is not None:
            load_anytime(model, checkpoint, trust_checkpoint)
    samples = [_noise(image_size)] if image_size else _samples(cfg, images, num_images)
    runs = time_exits(model, _batches(model, samples, batch_size, num_runs))
    shapes = [ShapeReport(shape, summarize([run for run in runs if run.input_shape == shape]),
                          count_exits(cfg, shape[1:]))
              for shape in dict.fromkeys(run.input_shape for run in runs)]  # in their order
    inputs = tuple(InputLatencies(
        shape.input_shape[0], shape.input_shape[1:],
        {latency.exit_stack: latency.total_95 for latency in shape.latencies}) for shape in shapes)
    return Calibration(model.machine(), model.identity(), inputs), shapes


def _samples(cfg: Config, images: Sequence[str], num_images: int) -> list[Any]:
    """Return what the test pipeline gives for each image, by default for some of the validation set."""
    if images:
        pipeline = Compose(get_test_pipeline_cfg(cfg))
        return [pipeline(dict(img_path=path, img_id=0)) for path in images]
    check_validation_set(cfg)
    dataset = DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset))
    return [dataset[index] for index in range(min(num_images, len(dataset)))]


def _batches(model: AnytimeDetector | AnytimeOnnxDetector, samples: Sequence[Any], batch_size: int,
             num_runs: int) -> list[Any]:
    """Return batches for all runs, each of samples that the model sees in one shape."""
    by_shape: dict[tuple[int, ...], list[Any]] = {}
    for sample in samples:
        if isinstance(model, AnytimeOnnxDetector):
            shape = model.input_shape([sample['inputs']] * batch_size)
        else:
            shape = model.data_preprocessor(
                pseudo_collate([copy.deepcopy(sample)]), False)['inputs'].shape
        by_shape.setdefault(tuple(shape), []).append(sample)
    return [pseudo_collate(list(islice(cycle(alike), start, start + batch_size)))
            for alike in by_shape.values() for start in range(0, batch_size * num_runs, batch_size)]


def _noise(image_size: tuple[int, int]) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    sample = DetDataSample(metainfo=dict(
        img_shape=image_size, ori_shape=image_size, scale_factor=(1.0, 1.0)))
    return dict(inputs=torch.randint(256, (3, *image_size), dtype=torch.uint8, generator=generator),
                data_samples=sample)
