"""Detect in images, videos and from cameras, one result after the other."""
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from mmengine.structures import InstanceData

from mmnasfpn._checks import check_whole_number
from mmnasfpn.engine.config import load_config
from mmnasfpn.engine.user_errors import is_users
from mmnasfpn.errors import UsageError
from mmnasfpn.prediction.detector import Speed, choose_exit, load_detector
from mmnasfpn.prediction.inputs import Input, Source, find_sources
from mmnasfpn.prediction.reading import InputPipeline, Item, Skip, batched, read_ahead, read_items


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was detected in an image or a frame.

    Args:
        source (Source): Where it is from.
        frame (int | None): Number of the frame in its video or of its camera, from 0; None for an image.
        fps (float): Frames a second of the video; 0 where that is not known.
        image (ndarray): The image as the test pipeline read it, (H, W, 3), blue, green, red.
        instances (InstanceData): The detections as MMDetection has them, on the CPU, the best first.
        classes (tuple[str, ...]): The names of all labels.
        exit_stack (int | None): The exit of an anytime detector; None for others.
    """

    source: Source
    frame: int | None
    fps: float
    image: np.ndarray
    instances: InstanceData
    classes: tuple[str, ...]
    exit_stack: int | None

    @property
    def path(self) -> str:
        """The file, as it was given or found in a folder; a camera's number."""
        return self.source.path

    @property
    def width(self) -> int:
        """Pixels of a row of the image."""
        return self.image.shape[1]

    @property
    def height(self) -> int:
        """Rows of the image."""
        return self.image.shape[0]

    @property
    def boxes(self) -> np.ndarray:
        """The boxes, (N, 4): x1, y1, x2, y2 in pixels of the image."""
        return self.instances.bboxes.numpy()

    @property
    def scores(self) -> np.ndarray:
        """Their scores, (N,), 0..1."""
        return self.instances.scores.numpy()

    @property
    def labels(self) -> np.ndarray:
        """Their labels, (N,), which number the classes from 0."""
        return self.instances.labels.numpy()

    @property
    def masks(self) -> list[dict[str, Any]] | None:
        """The masks, run-length encoded as COCO has them; None where the detector gives none."""
        if 'masks' not in self.instances:
            return None
        encoded = encode_mask_results(self.instances.masks.numpy())
        return [dict(mask, counts=mask['counts'].decode()) for mask in encoded]

    @property
    def names(self) -> list[str]:
        """The names of their classes."""
        return [self.classes[label] for label in self.labels]


class Predictor:
    """A detector that takes image files, folders, globs, videos, cameras and arrays.

    Args:
        config (Config | str | PathLike): The config; its path, or the file's name of one of ours.
        checkpoint (str | PathLike): A checkpoint of it, or a model of ``tools/export_onnx.py``: with
            ``--exits``, the path that it was given.
        device (str | None): E.g. ``'cpu'`` or ``'cuda:1'``. Defaults to None: a GPU if there is one.
        exit_stack (int | None): The exit of an anytime detector. Defaults to None: as the config says.
        deadline_ms (float | None): Milliseconds for each image, by which an anytime detector chooses
            the exit. Defaults to None.
        calibration (str | PathLike | None): The file of ``tools/calibrate.py`` that this needs.
        trust_checkpoint (bool): Read the checkpoint in full, whatever it makes Python run. Defaults to
            False: weights only.
        speed (Speed | None): How it computes. Defaults to None: plainly.
        backend (str | None): What runs an exported model: ``'onnx'``, ONNX Runtime, or ``'openvino'``.
            Defaults to None: ONNX Runtime.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If config or checkpoint do not fit, or an argument is impossible.
    """

    def __init__(self, config: Config | str | os.PathLike[str], checkpoint: str | os.PathLike[str],
                 device: str | None = None, exit_stack: int | None = None,
                 deadline_ms: float | None = None, calibration: str | os.PathLike[str] | None = None,
                 trust_checkpoint: bool = False, speed: Speed | None = None,
                 backend: str | None = None) -> None:
        if deadline_ms is not None and speed not in (None, Speed()):
            raise UsageError('--deadline-ms goes by the latencies of the plain detector, which --dtype, '
                             '--channels-last, --fuse and --compile change: leave one out')
        cfg = config if isinstance(config, Config) else load_config(config)
        detector = load_detector(cfg, os.fspath(checkpoint), device, trust_checkpoint, speed,
                                 backend)
        choose_exit(detector.model, exit_stack, deadline_ms, calibration)
        self.model = detector.model
        self.classes = detector.classes
        self.palette = detector.palette
        self.deadline_ms = deadline_ms
        self.pipeline = InputPipeline(cfg)

    def __call__(self, inputs: Iterable[Input] | Iterable[Source],
                 batch_size: int = 1, score_thr: float = 0.0, classes: Sequence[str] | None = None,
                 skip: Skip | None = None) -> Iterator[Prediction]:
        """Detect in one image and frame after the other, in their order.

        No result is kept, and no more images than a batch and, with a GPU, the next one.

        Args:
            inputs (Iterable): As :func:`~mmnasfpn.prediction.inputs.find_sources` takes them, or what
                it returned.
            batch_size (int): Images at a time. Defaults to 1.
            score_thr (float): Detections of a lower score, in 0..1, are left out. Defaults to 0: all
                that the config's ``test_cfg`` leaves.
            classes (Sequence[str] | None): Detections of other classes are left out. Defaults to None:
                all.
            skip (Callable | None): Called with the path of what cannot be read, and why. Defaults to
                None, a warning in the log.

        Yields:
            Prediction: What was detected.

        Raises:
            FileNotFoundError: If an input does not exist, or has no image and no video; at once.
            ValueError: If an argument is impossible; at once.
        """
        check_whole_number('batch_size', batch_size, 1)
        if batch_size > 1 and self.deadline_ms is not None:
            raise UsageError(f'--batch-size is {batch_size}, but with --deadline-ms each image has its '
                             'own deadline: leave it out')
        if not 0 <= score_thr <= 1:
            raise UsageError(f'--score-thr is {score_thr!r}, but must be in 0..1')
        labels = self._labels_of(classes)
        given = list(inputs)
        are_found = bool(given) and all(isinstance(item, Source) for item in given)
        sources: Any = given if are_found else find_sources(given)  # type: ignore[arg-type]
        return self._predict(sources, batch_size, score_thr, labels, skip or _warn)

    def _labels_of(self, classes: Sequence[str] | None) -> torch.Tensor | None:
        if classes is None:
            return None
        if unknown := [name for name in classes if name not in self.classes]:
            raise UsageError(f'--classes has {unknown[0]!r}, but the detector knows '
                             f'{", ".join(map(repr, self.classes))}')
        return torch.tensor([self.classes.index(name) for name in classes])

    def _predict(self, sources: Sequence[Source], batch_size: int, score_thr: float,
                 labels: torch.Tensor | None, skip: Skip) -> Iterator[Prediction]:
        batches = batched(read_items(sources, self.pipeline, skip), batch_size)
        is_on_cpu = all(parameter.device.type == 'cpu' for parameter in self.model.parameters())
        # On a CPU, the detector and a thread that reads would take the time from each other.
        for items in batches if is_on_cpu else read_ahead(batches):
            for item, exit_stack, sample in self._detect(items, skip):
                found = sample.pred_instances.cpu()
                keep = found.scores >= score_thr
                if labels is not None:
                    keep &= torch.isin(found.labels, labels)
                yield Prediction(item.source, item.frame, item.fps, item.image, found[keep],
                                 self.classes, exit_stack)

    def _detect(self, items: Sequence[Item],
                skip: Skip) -> Iterator[tuple[Item, int | None, DetDataSample]]:
        try:
            exit_stack, samples = self._test([item.sample for item in items])
        except ValueError as error:  # such as an image that an exported model does not take
            if not is_users(error):
                raise
            if len(items) == 1:
                skip(items[0].source.path, str(error))
                return
            for item in items:
                yield from self._detect([item], skip)
            return
        for item, sample in zip(items, samples, strict=True):
            yield item, exit_stack, sample

    @torch.no_grad()
    def _test(self, samples: Sequence[dict]) -> tuple[int | None, list[DetDataSample]]:
        batch = pseudo_collate(samples)
        if self.deadline_ms is not None:
            return self.model.predict_within(batch, self.deadline_ms)
        return getattr(self.model, 'exit_stack', None), self.model.test_step(batch)


def predict(config: Config | str | os.PathLike[str], checkpoint: str | os.PathLike[str],
            inputs: Iterable[Input], batch_size: int = 1, score_thr: float = 0.0,
            classes: Sequence[str] | None = None, skip: Skip | None = None,
            **options: Any) -> Iterator[Prediction]:
    """Detect in images, videos and from cameras: yield one result after the other.

    To detect more than once with one detector, keep a :class:`Predictor`.

    Args:
        config (Config | str | PathLike): As :class:`Predictor` takes it.
        checkpoint (str | PathLike): Likewise.
        inputs (Iterable): As :func:`~mmnasfpn.prediction.inputs.find_sources` takes them.
        batch_size (int): Images at a time. Defaults to 1.
        score_thr (float): Detections of a lower score, in 0..1, are left out. Defaults to 0.
        classes (Sequence[str] | None): Detections of other classes are left out. Defaults to None: all.
        skip (Callable | None): Called with the path of what cannot be read, and why. Defaults to None,
            a warning in the log.
        **options: Others of :class:`Predictor`.

    Yields:
        Prediction: What was detected in an image or a frame.

    Raises:
        FileNotFoundError, ValueError: As :class:`Predictor` and its call; at once.

    Example:
        >>> for found in predict('config.py', 'epoch_7.pth', ['images/']):  # doctest: +SKIP
        ...     for box, score, name in zip(found.boxes, found.scores, found.names):
        ...         print(found.path, name, score, box)
    """
    predictor = Predictor(config, checkpoint, **options)
    return predictor(inputs, batch_size, score_thr, classes, skip)


def _warn(path: str, reason: str) -> None:
    print_log(f'{path} is skipped: {reason}', 'current', logging.WARNING)
