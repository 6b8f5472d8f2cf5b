"""How long each exit of an anytime detector takes."""
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Size, nn

from mmnasfpn.export import AnytimeOnnxDetector
from mmnasfpn.models.detectors import AnytimeDetector


@dataclass(frozen=True)
class ExitRun:
    """One run from a batch to its detections, in milliseconds.

    Args:
        exit_stack (int): The exit.
        input_shape (tuple[int, int, int]): Images, rows and columns of the model's input.
        total (float): All, with preprocessing, decoding and NMS.
        backbone, neck, head (float | None): The parts of the forward pass; None of an exported model.
    """

    exit_stack: int
    input_shape: tuple[int, int, int]
    total: float
    backbone: float | None = None
    neck: float | None = None
    head: float | None = None


@dataclass(frozen=True)
class ExitLatency:
    """The latency of an exit over some runs, in milliseconds: medians, except for ``total_95``.

    Args:
        exit_stack (int): The exit.
        runs (int): The number of runs.
        total (float): All.
        total_95 (float): 95% of the runs took no longer.
        backbone, neck, head, forward (float | None): The parts of the forward pass, and all of it;
            None of an exported model.
        rest (float | None): Preprocessing, decoding and NMS; likewise.
    """

    exit_stack: int
    runs: int
    total: float
    total_95: float
    backbone: float | None = None
    neck: float | None = None
    head: float | None = None
    forward: float | None = None
    rest: float | None = None


def time_exits(model: AnytimeDetector | AnytimeOnnxDetector,
               batches: Sequence[Mapping[str, Any]]) -> list[ExitRun]:
    """Run each batch to each exit, one after the other, and show the progress.

    Each run starts from the images and stops at the exit. The exits take turns, so that a change of the
    machine's speed affects all of them. The first run of each exit with each input shape is repeated,
    and the second counts.

    Args:
        model (AnytimeDetector | AnytimeOnnxDetector): The model, in evaluation mode.
        batches (Sequence[Mapping]): Batches as data loaders give them.

    Returns:
        list[ExitRun]: All runs.
    """
    before = model.test_cfg.get('exit_stack')
    runs: list[ExitRun] = []
    warm = set()
    todo = list(product(batches, model.exits))
    try:
        for batch, exit_stack in track(todo, f'Timing {len(model.exits)} exits'):
            model.test_cfg.exit_stack = exit_stack
            run = _time(model, batch)
            if (kind := (run.input_shape, exit_stack)) not in warm:
                warm.add(kind)
                run = _time(model, batch)
            runs.append(run)
    finally:
        model.test_cfg.exit_stack = before
    return runs


def summarize(runs: Sequence[ExitRun]) -> list[ExitLatency]:
    """Return the latency of each exit, the first exit's first."""
    latencies = []
    for exit_stack in sorted({run.exit_stack for run in runs}):
        own = [run for run in runs if run.exit_stack == exit_stack]
        times = {'total': np.array([run.total for run in own])}
        if own[0].backbone is not None:
            for part in ('backbone', 'neck', 'head'):
                times[part] = np.array([getattr(run, part) for run in own])
            times['forward'] = times['backbone'] + times['neck'] + times['head']
            times['rest'] = times['total'] - times['forward']
        within = float(np.quantile(times['total'], 0.95, method='higher'))
        latencies.append(ExitLatency(exit_stack, len(own), total_95=within, **{
            part: float(np.median(each)) for part, each in times.items()}))
    return latencies


@torch.no_grad()
def _time(model: AnytimeDetector | AnytimeOnnxDetector, batch: Mapping[str, Any]) -> ExitRun:
    if isinstance(model, AnytimeOnnxDetector):
        start = time.perf_counter()
        model.test_step(batch)
        return ExitRun(model.exit_stack, model.input_shape(batch['inputs']),
                       1000 * (time.perf_counter() - start))
    device = next(model.parameters()).device
    moments: list[float] = []
    shapes: list[Size] = []

    def note_time(*_: Any) -> None:
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        moments.append(1000 * time.perf_counter())

    def note_shape(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        shapes.append(inputs[0].shape)

    head = model.head_of(model.exit_stack)
    with contextlib.ExitStack() as hooks:
        for hook in (model.backbone.register_forward_pre_hook(note_shape),
                     model.backbone.register_forward_pre_hook(note_time),
                     model.backbone.register_forward_hook(note_time),
                     head.register_forward_pre_hook(note_time), head.register_forward_hook(note_time)):
            hooks.callback(hook.remove)
        note_time()
        model.test_step(batch)
        note_time()
    first, backbone, neck, head_start, head_end, end = moments
    [(images, _, rows, columns)] = shapes
    return ExitRun(model.exit_stack, (images, rows, columns), backbone=neck - backbone,
                   neck=head_start - neck, head=head_end - head_start, total=end - first)
