"""Write a module as an ONNX model."""
import contextlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from mmnasfpn._files import atomic_path
from mmnasfpn.export.operators import onnx_translations

#: Called with what is done next.
Progress: TypeAlias = Callable[[str], None]

_OPSET = 18


def no_progress(text: str) -> None:
    """Take what is done next, and say nothing."""


def check_installed() -> None:
    """Check that what export needs is there.

    Raises:
        ImportError: If it is not; says what to install.
    """
    if missing := missing_packages():
        raise ImportError(f"export needs {', '.join(missing)}: pip install 'mmnasfpn[export]'")


def missing_packages() -> list[str]:
    """Return what export needs and is not installed."""
    return [name for name in ('onnx', 'onnxscript', 'onnxruntime')
            if importlib.util.find_spec(name) is None]


def to_onnx(module: nn.Module, inputs: Sequence[Tensor], input_names: Sequence[str],
            output_names: Sequence[str] | None = None, dynamic_dims: Sequence[Sequence[int]] = (),
            progress: Progress = no_progress) -> Any:
    """Return a module as an ONNX model.

    Args:
        module (nn.Module): In evaluation mode.
        inputs (Sequence[Tensor]): What it takes, as examples; without ``dynamic_dims`` of the only sizes
            that the model will take.
        input_names (Sequence[str]): Names of the inputs.
        output_names (Sequence[str] | None): Names of the outputs. Defaults to the exporter's.
        dynamic_dims (Sequence[Sequence[int]]): For each input, the dimensions whose sizes the model
            leaves open; at least 2 in the examples. Defaults to none.
        progress (Callable): Called with what is done next. Defaults to nothing.

    Returns:
        ModelProto: The model, for :func:`write_onnx`.

    Raises:
        ImportError: If what export needs is not installed.
    """
    check_installed()
    sizes = tuple(dict.fromkeys(dims, torch.export.Dim.DYNAMIC) for dims in dynamic_dims)
    with torch.no_grad(), _quietly():
        progress('Following the network')
        program = torch.export.export(_OfManyInputs(module), tuple(inputs), strict=False,
                                      dynamic_shapes=(sizes,) if sizes else None)
        progress('Writing it in ONNX')
        model = torch.onnx.export(
            program, input_names=input_names, output_names=output_names, opset_version=_OPSET,
            dynamo=True, verbose=False, custom_translation_table=onnx_translations())
    assert model is not None
    return model.model_proto


class _OfManyInputs(nn.Module):
    """A module by a signature that has room for any number of inputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Any:
        return self.module(*inputs)


def write_onnx(model: Any, out: str | os.PathLike[str],
               metadata: Mapping[str, str] | None = None) -> None:
    """Write an ONNX model, as a whole or not at all.

    Args:
        model (ModelProto): The model.
        out (str | PathLike): The file to write.
        metadata (Mapping | None): Texts to keep in it. Defaults to none.
    """
    import onnx

    onnx.helper.set_model_props(model, dict(metadata or {}))
    with atomic_path(Path(out)) as unfinished:
        onnx.save(model, unfinished)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep back that torchvision, which nothing needs, is not there, and notes on PyTorch's insides."""
    logger = logging.getLogger('torch.onnx._internal.exporter._registration')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', FutureWarning)
            warnings.simplefilter('ignore', DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
