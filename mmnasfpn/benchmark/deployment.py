"""How long detectors take from pixels to boxes, by PyTorch and by the runtimes of exported models."""
import contextlib
import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn._markdown import to_table
from mmnasfpn.benchmark.measure import order_of
from mmnasfpn.benchmark.settings import RUNTIMES
from mmnasfpn.export import ExportableDetector, to_int8, write_onnx
from mmnasfpn.export.parts import detector_to_onnx
from mmnasfpn.export.runtimes import compile_openvino, open_model
from mmnasfpn.models.compile import compile_networks

#: How many images run at a time where the throughput is measured, before the clock is read.
_MANY = 32

#: How often a case runs in a round.
_REPEATS = 5


@dataclass(frozen=True)
class Deployment:
    """A detector, and what runs it.

    Args:
        model (str): Its name.
        runtime (str): One of :data:`~mmnasfpn.benchmark.settings.RUNTIMES`.
        threads (int): Of the processor.
    """

    model: str
    runtime: str
    threads: int


@dataclass(frozen=True)
class DeploymentCost:
    """What it takes.

    Args:
        milliseconds (Sequence[float]): For an image, the median of each round.
        memory_mib (float | None): By how much the process is larger while it runs than before the model
            was opened; None where the system does not say.
        file_mib (float): Of the weights, or of the exported model.
    """

    milliseconds: Sequence[float]
    memory_mib: float | None
    file_mib: float

    @property
    def median(self) -> float:
        """The median of the rounds, in milliseconds."""
        return statistics.median(self.milliseconds)


def measure_deployments(configs: Mapping[str, Config], image_size: tuple[int, int],
                        runtimes: Sequence[str], threads: Sequence[int], rounds: int, folder: Path,
                        progress: Callable[[str], None]) -> dict[Deployment, DeploymentCost]:
    """Time detectors of random weights, each in a process of its own, in turn.

    One image is run at a time, except for the throughput. No box passes the threshold, so that NMS has
    nothing to do.

    Args:
        configs (Mapping[str, Config]): The detectors by name.
        image_size (tuple[int, int]): Rows and columns.
        runtimes (Sequence[str]): Some of :data:`~mmnasfpn.benchmark.settings.RUNTIMES`.
        threads (Sequence[int]): Numbers of threads. The throughput is measured with the most.
        rounds (int): How often each is timed, by the median of five runs.
        folder (Path): For the models.
        progress (Callable): Called with what is done next.
    """
    files = {}
    for name, cfg in configs.items():
        progress(f'Exporting {name}')
        files[name] = _write_models(cfg, image_size, runtimes, folder / name)
    found: dict[Deployment, DeploymentCost] = {}
    for number in threads:
        cases = [Deployment(name, runtime, number) for name, runtime in product(configs, runtimes)
                 if 'throughput' not in runtime or number == max(threads)]
        found |= _measure(cases, configs, files, image_size, rounds, progress)
    return found


def _write_models(cfg: Config, image_size: tuple[int, int], runtimes: Iterable[str],
                  folder: Path) -> dict[str, Path]:
    """Write what each runtime opens, and return the files by the runtime."""
    folder.mkdir(parents=True)
    detector = _build(cfg)
    weights, fp32, int8 = (folder / name for name in ('weights.pth', 'fp32.onnx', 'int8.onnx'))
    torch.save(detector.state_dict(), weights)
    files = {name: weights if name in ('eager', 'compiled') else int8 if 'int8' in name else fp32
             for name in runtimes}
    if {fp32, int8} & set(files.values()):
        model = detector_to_onnx(ExportableDetector(detector), torch.zeros(1, 3, *image_size), False)
        write_onnx(model, fp32)
        if int8 in files.values():
            generator = np.random.default_rng(0)
            noise = generator.uniform(0, 255, (8, 1, 3, *image_size)).astype(np.float32)
            write_onnx(to_int8(model, noise), int8)
    return files


def _build(cfg: Config) -> Any:
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    torch.manual_seed(0)
    detector = MODELS.build(cfg.model).eval()
    head = detector.bbox_head
    head.test_cfg.score_thr = 1.0
    if not hasattr(head, 'loss_cls'):  # MMDetection's SSD head: it looks for one when it predicts
        head.loss_cls = None
    return detector


def _measure(cases: Sequence[Deployment], configs: Mapping[str, Config],
             files: Mapping[str, Mapping[str, Path]], image_size: tuple[int, int], rounds: int,
             progress: Callable[[str], None]) -> dict[Deployment, DeploymentCost]:
    context = multiprocessing.get_context('spawn')
    with ExitStack() as stack:
        pools = {case: stack.enter_context(ProcessPoolExecutor(1, context)) for case in cases}

        def open_case(case: Deployment) -> float | None:
            progress(f'Opening {case.model}, {RUNTIMES[case.runtime]}')
            return pools[case].submit(_open, case, configs[case.model],
                                      files[case.model][case.runtime], image_size).result()

        with ThreadPoolExecutor(os.cpu_count()) as openers:
            memory = dict(zip(cases, openers.map(open_case, cases), strict=True))
        times: dict[Deployment, list[float]] = {case: [] for case in cases}
        for number in range(rounds):
            progress(f'Timing, round {number + 1} of {rounds}')
            for case in order_of(cases, number):
                times[case].append(pools[case].submit(_time).result())
    return {case: DeploymentCost(times[case], memory[case],
                                 files[case.model][case.runtime].stat().st_size / 2 ** 20)
            for case in cases}


#: In a process of :func:`_measure`: runs its case, and how many images that are.
_run: tuple[Callable[[], Any], int]


def _open(case: Deployment, cfg: Config, file: Path, image_size: tuple[int, int]) -> float | None:
    """Open the case of this process, and return the MiB that it needs."""
    global _run
    torch.set_num_threads(case.threads)
    image = torch.randint(256, (3, *image_size), dtype=torch.uint8,
                          generator=torch.Generator().manual_seed(0))
    before = _memory('VmRSS')
    if case.runtime in ('eager', 'compiled'):
        detector = _build(cfg)
        detector.load_state_dict(torch.load(file, weights_only=True))
        if case.runtime == 'compiled':
            compile_networks(detector)
        _run = (lambda: _test(detector, image)), 1
    else:
        images = image[None].numpy().astype(np.float32)
        backend = case.runtime.partition('-')[0]
        if 'throughput' in case.runtime:
            _run = _many_at_a_time(file, images), _MANY
        else:
            run = open_model(file, backend).run
            _run = (lambda: run(images)), 1
    for _ in range(3):
        _run[0]()
    gc.collect()
    _reset_peak()
    _run[0]()
    peak = _memory('VmHWM')
    return None if before is None or peak is None else peak - before


def _time() -> float:
    """Return the milliseconds for an image, the median of some runs; one run of many images."""
    run, images = _run
    times = []
    for _ in range(_REPEATS if images == 1 else 1):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start) / images)
    return statistics.median(times)


@torch.no_grad()
def _test(detector: Any, image: torch.Tensor) -> Any:
    size = tuple(image.shape[1:])
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
    return detector.test_step(dict(inputs=[image], data_samples=[sample]))


def _many_at_a_time(file: Path, images: np.ndarray) -> Callable[[], None]:
    import openvino

    queue = openvino.AsyncInferQueue(compile_openvino(file, 'THROUGHPUT'))

    def run() -> None:
        for _ in range(_MANY):
            queue.start_async(images)
        queue.wait_all()

    return run


def _memory(key: str) -> float | None:
    """Return the MiB of this process by a key of Linux's ``/proc/self/status``."""
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f'{key}:')), None)


def _reset_peak() -> None:
    """Let ``VmHWM`` begin anew."""
    with contextlib.suppress(OSError):  # the peak then is that since the start
        Path('/proc/self/clear_refs').write_text('5')


def deployments_to_markdown(found: Mapping[Deployment, DeploymentCost]) -> str:
    """Return a table: a line for each model and runtime, and the times by the number of threads."""
    threads = list(dict.fromkeys(case.threads for case in found))
    models = list(dict.fromkeys(case.model for case in found))
    lines = []
    for model, runtime in sorted({(case.model, case.runtime) for case in found},
                                 key=lambda key: (models.index(key[0]), list(RUNTIMES).index(key[1]))):
        costs = [found.get(Deployment(model, runtime, number)) for number in threads]
        eager = [found.get(Deployment(model, 'eager', number)) for number in threads]
        known = [cost for cost in costs if cost is not None]
        lines.append((
            model, RUNTIMES[runtime],
            *('' if cost is None else f'{cost.median:.1f}' for cost in costs),
            *('' if cost is None or first is None else f'{cost.median / first.median:.2f}'
              for cost, first in zip(costs, eager, strict=True)),
            f'{known[0].file_mib:.1f}',
            '' if known[-1].memory_mib is None else f'{known[-1].memory_mib:.0f}'))
    names = [_threads(number) for number in threads]
    head = ('model', 'runtime', *(f'ms, {name}' for name in names),
            *(f'/ eager, {name}' for name in names), 'file, MiB', 'memory, MiB')
    return to_table(head, lines)


def _threads(number: int) -> str:
    return f'{number} thread{"s" if number > 1 else ""}'


def draw_deployments(found: Mapping[Deployment, DeploymentCost], out: Path) -> None:
    """Draw the times as bars, an axes for each number of threads."""
    threads = list(dict.fromkeys(case.threads for case in found))
    models = list(dict.fromkeys(case.model for case in found))
    figure = Figure(figsize=(10, 1 + 0.2 * len(found)), layout='constrained')
    for axes, number in zip(figure.subplots(len(threads), squeeze=False)[:, 0], threads, strict=True):
        cases = [case for case in found if case.threads == number]
        axes.barh(range(len(cases)), [found[case].median for case in cases],
                  color=[f'C{models.index(case.model) % 10}' for case in cases])
        axes.set_yticks(range(len(cases)),
                        [f'{case.model}: {RUNTIMES[case.runtime]}' for case in cases], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(f'milliseconds for an image, {_threads(number)}')
        axes.grid(axis='x', alpha=0.3)
    figure.savefig(out, dpi=110)
