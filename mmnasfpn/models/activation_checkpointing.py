"""Activation checkpointing: compute again in the backward pass what is not kept, to save memory."""
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(module: nn.Module, *args: Any) -> Any:
    """Call a module, keeping only its arguments, tensors or tuples of them, for the backward pass.

    The backward pass calls it again, which reproduces the first call exactly: random numbers are the
    same, and running statistics count the batch once.
    """
    if not torch.is_grad_enabled():
        return module(*args)
    if torch.compiler.is_compiling():
        # Compiled, statistics are written at the end of the forward pass, by AOTAutograd.
        return checkpoint(module, *args, use_reentrant=False)
    return checkpoint(module, *args, use_reentrant=False,
                      context_fn=lambda: (nullcontext(), _keep_statistics(module)))


@contextmanager
def _keep_statistics(module: nn.Module) -> Iterator[None]:
    buffers = [buffer for norm in module.modules() if isinstance(norm, _NormBase) and norm.training
               for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            # By .data: the backward pass refuses what was changed since, though it does not need it.
            buffer.data.copy_(value)
