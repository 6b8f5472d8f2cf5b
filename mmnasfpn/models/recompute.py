"""Modules that keep nothing for the backward pass but compute it again there, to save memory."""
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module, *args: Any) -> Any:
    """Call a module, keeping its arguments alone for the backward pass.

    What it computes there is what it computed here: random numbers are the same, and running statistics
    count the batch once.

    Args:
        module (nn.Module): What to call.
        *args: Its arguments: tensors, or tuples of them.

    Returns:
        What it returns.
    """
    if not torch.is_grad_enabled():
        return module(*args)
    return checkpoint(module, *args, use_reentrant=False,
                      context_fn=lambda: (nullcontext(), _statistics_stay(module)))


@contextmanager
def _statistics_stay(module: nn.Module) -> Iterator[None]:
    buffers = [buffer for norm in module.modules() if isinstance(norm, _NormBase) and norm.training
               for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            # By .data: the backward pass refuses what was changed since, though it does not need it.
            buffer.data.copy_(value)
