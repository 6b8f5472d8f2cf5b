"""What runs an exported model: ONNX Runtime, or OpenVINO."""
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmnasfpn.export.to_onnx import check_installed

#: Names of the runtimes.
BACKENDS = ('onnx', 'openvino')


@dataclass(frozen=True)
class Runtime:
    """A model that is ready to run.

    Args:
        name (str): Of the runtime, with its version.
        device (str): What it runs on: ``'cpu'``, or the name of ONNX Runtime's provider.
        shape (Sequence): Of its input; a name or -1 stands for a size that is left open.
        metadata (Mapping[str, str]): The texts that are kept in it.
        run (Callable): Returns the outputs for an input, in their order.
    """

    name: str
    device: str
    shape: Sequence[Any]
    metadata: Mapping[str, str]
    run: Callable[[np.ndarray], Sequence[np.ndarray]]


def open_model(path: str | os.PathLike[str], backend: str = 'onnx') -> Runtime:
    """Open an ONNX model of one input, on as many threads as PyTorch has.

    Args:
        path (str | PathLike): The model.
        backend (str): ``'onnx'`` for ONNX Runtime, which takes a GPU where it finds one, or
            ``'openvino'``, on the CPU, in float32 or what the model is quantised to. Defaults to
            ``'onnx'``.

    Raises:
        ImportError: If the runtime is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ONNX model, or there is no such runtime.
    """
    if backend == 'openvino':
        return _open_openvino(path)
    if backend != 'onnx':
        raise ValueError(f'backend is {backend!r}, but must be one of {", ".join(BACKENDS)}')
    session = open_session(path)
    import onnxruntime

    [images] = session.get_inputs()
    provider = session.get_providers()[0]
    return Runtime(f'ONNX Runtime {onnxruntime.__version__}',
                   'cpu' if provider == 'CPUExecutionProvider' else provider, images.shape,
                   session.get_modelmeta().custom_metadata_map,
                   lambda batch: session.run(None, {images.name: batch}))


def open_session(path: str | os.PathLike[str]) -> Any:
    """Open a model with ONNX Runtime, on as many threads as PyTorch has.

    Raises:
        ImportError: If it is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ONNX model.
    """
    check_installed()
    import onnxruntime

    _check_file(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(path, options,
                                            providers=onnxruntime.get_available_providers())
    except Exception as error:  # of ONNX Runtime's own many kinds
        raise ValueError(f'{path} is no model that ONNX Runtime can run: {error}') from None


def compile_openvino(path: str | os.PathLike[str], hint: str = 'LATENCY') -> Any:
    """Compile a model with OpenVINO for the CPU, on as many threads as PyTorch has.

    Args:
        path (str | PathLike): The model.
        hint (str): ``'LATENCY'``, for one input at a time, or ``'THROUGHPUT'``, for many.

    Raises:
        ImportError: If it is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If it is no model that OpenVINO can run.
    """
    if importlib.util.find_spec('openvino') is None:
        raise ImportError("OpenVINO is not installed: pip install 'mmnasfpn[export]'")
    import openvino

    _check_file(path)
    core = openvino.Core()
    try:
        return core.compile_model(core.read_model(path), 'CPU', {
            'INFERENCE_PRECISION_HINT': 'f32', 'PERFORMANCE_HINT': hint,
            'INFERENCE_NUM_THREADS': torch.get_num_threads()})
    except RuntimeError as error:
        raise ValueError(f'{path} is no model that OpenVINO can run: {error}') from None


def _open_openvino(path: str | os.PathLike[str]) -> Runtime:
    compiled = compile_openvino(path)
    import onnx
    import openvino

    model = onnx.load(os.fspath(path))
    [images] = compiled.inputs
    shape = [size.get_length() if size.is_static else -1 for size in images.get_partial_shape()]

    def run(batch: np.ndarray) -> list[np.ndarray]:
        found = compiled(batch)  # what it returns is written over by the next run
        return [found[output].copy() for output in compiled.outputs]

    return Runtime(f'OpenVINO {openvino.__version__}', 'cpu', shape,
                   {prop.key: prop.value for prop in model.metadata_props}, run)


def _check_file(path: str | os.PathLike[str]) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{os.fspath(path)} does not exist')
