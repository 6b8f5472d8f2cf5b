"""The networks of a detector compiled by ``torch.compile``, in place."""
import os
import shutil
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
import torch._dynamo
import torch.fx.experimental._config
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

#: What ``torch.compile`` takes as its mode with the backend ``'inductor'``.
MODES = ('default', 'reduce-overhead', 'max-autotune')
#: The most graphs of a network: two for each mode, for up to seven exits. PyTorch's own limit is 8.
_MAX_GRAPHS = 32


def compile_networks(model: nn.Module, mode: str | None = None, dynamic: bool | None = None,
                     backend: str | Callable[..., Any] = 'inductor',
                     fullgraph: bool = False) -> nn.Module:
    """Compile the backbone, the neck and the forward pass of the heads of a detector, in place.

    What is around them, losses and detections, is not compiled. Names of weights stay, hooks of the
    networks run outside of the graphs, and copies of the model are not compiled. The work is done when a
    network is first called: until then the model may be moved, folded and converted.

    With ``mode='reduce-overhead'`` or ``'max-autotune'``, a GPU records CUDA graphs, for each size of
    images anew. What a network returns is then overwritten when the model is next called.

    Args:
        model (nn.Module): The detector. A module without such networks is compiled itself.
        mode (str | None): ``'default'``; ``'reduce-overhead'``, which saves the starting of each
            operation on a GPU, for images of one size; or ``'max-autotune'``, which also tries out
            several ways to compute. Defaults to None, the default.
        dynamic (bool | None): True compiles for all sizes of images from the start; False, for each size
            anew. Defaults to None: for the first size alone, and once more for all others.
        backend (str | Callable): A backend of ``torch.compile``. Defaults to ``'inductor'``.
        fullgraph (bool): Raise an error where a network is not one graph. Defaults to False: what
            cannot be compiled runs as it is.

    Returns:
        nn.Module: The same model.

    Raises:
        ValueError: If an argument is impossible, or a compiler that the backend needs is missing.
    """
    check_options(mode, dynamic, backend)
    _check_fits(model, backend)
    _configure(model)
    networks = _networks_of(model) or [model]
    for network in networks:
        # nn.Module.compile would compile a module's hooks as well, and leave out those that come later.
        network.forward = _CompiledForward(network, dynamic, mode=mode, backend=backend,
                                           fullgraph=fullgraph)
    if mode not in (None, 'default') and _begin_step not in networks[0]._forward_pre_hooks.values():
        networks[0].register_forward_pre_hook(_begin_step)
    return model


class _CompiledForward:
    """The ``forward`` of a module, compiled for the sizes that come first, and once more for all others.

    By itself ``torch.compile`` compiles again for each dimension that changes: height, width, batch.
    """

    def __init__(self, module: nn.Module, dynamic: bool | None, **options: Any) -> None:
        self.module = module
        self.plain = getattr(module.forward, 'plain', module.forward)
        self._for_first = torch.compile(self.plain, dynamic=dynamic is True, **options)
        self._for_others = torch.compile(self.plain, dynamic=dynamic is not False, **options)
        self._first_sizes: dict[tuple, list[torch.Size]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # as part of something larger
            return self.plain(*args, **kwargs)
        leaves = tree_leaves((args, kwargs))
        # Each case has graphs of its own.
        case = (self.module.training, torch.is_grad_enabled(),
                *(x for x in leaves if isinstance(x, int | str)))
        sizes = [x.shape for x in leaves if isinstance(x, Tensor)]
        is_first = self._first_sizes.setdefault(case, sizes) == sizes
        return (self._for_first if is_first else self._for_others)(*args, **kwargs)

    def __reduce__(self) -> tuple:
        """Copy and pickle the plain method of the module's copy, which is not compiled."""
        return _plain_forward, (self.module,)


def _plain_forward(module: nn.Module) -> MethodType:
    return MethodType(type(module).forward, module)


def _networks_of(model: nn.Module) -> list[nn.Module]:
    """Return the backbone, the neck and the heads, those of an ``AnytimeDetector`` included."""
    parts = [*model.named_children(), *getattr(model, 'exit_heads', nn.ModuleDict()).named_children()]
    return [part for name, part in parts
            if name in ('backbone', 'neck') or hasattr(part, 'predict_by_feat')]


def _configure(model: nn.Module) -> None:
    """Set what is one setting for all that ``torch.compile`` does in a process."""
    config: Any = torch._dynamo.config
    name = 'recompile_limit' if hasattr(config, 'recompile_limit') else 'cache_size_limit'
    setattr(config, name, max(getattr(config, name), _MAX_GRAPHS))
    # Else sizes that happen to be equal, such as those of the batch and of a small map, must stay so.
    torch.fx.experimental._config.use_duck_shape = False
    if _has_checkpoints(model):
        config.optimize_ddp = False  # it cuts graphs where gradients are sent, and cannot cut these


def _begin_step(backbone: nn.Module, inputs: tuple) -> None:
    # Else each network's call is a step where there are no gradients, and may overwrite its own input.
    torch.compiler.cudagraph_mark_step_begin()


def _has_checkpoints(model: nn.Module) -> bool:
    return any(getattr(module, 'with_cp', False) for module in model.modules())


def check_options(mode: Any, dynamic: Any, backend: Any) -> None:
    """Raise a ValueError unless :func:`compile_networks` takes these options."""
    if mode is not None and mode not in MODES:
        raise ValueError(f'mode is {mode!r}, but must be one of {", ".join(map(repr, MODES))}')
    if dynamic is not None and not isinstance(dynamic, bool):
        raise ValueError(f'dynamic is {dynamic!r}, but must be True, False or None')
    backends = torch.compiler.list_backends(exclude_tags=())
    if not callable(backend) and backend not in backends:
        raise ValueError(f'backend is {backend!r}, but must be one of {", ".join(map(repr, backends))}')
    if mode is not None and backend != 'inductor':
        raise ValueError(f"mode is {mode!r}, but backend is {backend!r}, and only 'inductor' has modes: "
                         'leave one out')


def _check_fits(model: nn.Module, backend: Any) -> None:
    if backend == 'eager' and _has_checkpoints(model):
        raise ValueError("backend is 'eager', with which activation checkpointing (with_cp) counts each "
                         "batch twice in running statistics: give 'aot_eager', or leave with_cp out")
    device = next((weight.device.type for weight in model.parameters()), 'cpu')
    if backend == 'inductor' and device == 'cpu':
        compiler = os.environ.get('CXX', 'clang++' if sys.platform == 'darwin' else 'g++')
        if shutil.which(compiler) is None:
            raise ValueError(f'there is no {compiler}, but to compile for a CPU takes a C++ compiler: '
                             'install it (apt install g++), name another in the environment variable '
                             'CXX, or do not compile')
