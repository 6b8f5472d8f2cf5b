"""The networks of a detector compiled by ``torch.compile``, in place."""
import logging
import os
import shutil
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
import torch._dynamo
import torch.fx.experimental._config
from mmengine.logging import print_log
from packaging.version import Version
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mmnasfpn.models.necks import PyramidNeck
from mmnasfpn.models.padding import fix_padding

#: What ``torch.compile`` takes as its mode with the backend ``'inductor'``.
MODES = ('default', 'reduce-overhead', 'max-autotune')
#: The most graphs of a network: two for each mode, for up to seven exits. PyTorch's own limit is 8.
_MAX_GRAPHS = 32
#: The oldest PyTorch that was tried and computes again in the backward pass without a trace.
_CHECKPOINTS_SINCE = Version('2.9')


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
            anew. Defaults to None: for the first size alone, and once more for all others. Sizes that
            the graph for all others does not take run uncompiled.
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
    fix_padding(model)
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

    By itself ``torch.compile`` compiles again for each dimension that changes (height, width, batch),
    and where what it does with one size fixes that size, it compiles for each anew. Here such sizes run
    uncompiled.
    """

    def __init__(self, module: nn.Module, dynamic: bool | None, **options: Any) -> None:
        self.module = module
        self.plain = getattr(module.forward, 'plain', module.forward)
        self.is_limited = dynamic is not False
        self._exits = [part for part in module.modules() if hasattr(part, 'exit_stack')]
        traced = self._make_traced()
        self._for_first = torch.compile(traced, dynamic=dynamic is True, **options)
        self._for_others = torch.compile(traced, dynamic=self.is_limited, **options)
        self._compiled_sizes: dict[tuple, list[list[torch.Size]]] = {}
        self._has_told = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # as part of something larger
            return self.plain(*args, **kwargs)
        leaves = tree_leaves((args, kwargs))
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        if isinstance(self.module, PyramidNeck):  # a graph does not check
            given = dict(zip(('inputs', 'first'), args, strict=False)) | kwargs
            if 'inputs' in given and not given.get('first'):
                self.module.check_inputs(given['inputs'])
        device = tensors[0].device.type if tensors else 'cpu'
        # Each case has graphs of its own.
        case = (self.module.training, torch.is_grad_enabled(), torch.is_autocast_enabled(device),
                *(x.dtype for x in tensors), *(part.exit_stack for part in self._exits),
                *(x for x in leaves if isinstance(x, int | str)))
        sizes = [x.shape for x in tensors]
        compiled = self._compiled_sizes.setdefault(case, [])
        if sizes not in compiled and len(compiled) < 2:
            compiled.append(sizes)
        if sizes == compiled[0]:
            return self._for_first(*args, **kwargs)
        if sizes == compiled[1] or not self.is_limited:
            return self._for_others(*args, **kwargs)
        with torch.compiler.set_stance('eager_on_recompile'):
            return self._for_others(*args, **kwargs)

    def _make_traced(self) -> Callable[..., Any]:
        def traced(*args: Any, **kwargs: Any) -> Any:
            if not torch.compiler.is_compiling() and not self._has_told:
                self._has_told = True
                print_log(f'the graphs of the compiled {type(self.module).__name__} do not take all '
                          'sizes of images; for others it runs uncompiled: take images of one size, '
                          'or dynamic=False of CompileHook to compile for each size',
                          logger='current', level=logging.WARNING)
            return self.plain(*args, **kwargs)

        # A code object of its own: PyTorch counts graphs by it, and would add those of all networks.
        traced.__code__ = traced.__code__.replace()
        return traced

    def __reduce__(self) -> tuple:
        """Copy and pickle the plain method of the module's copy, which is not compiled."""
        if getattr(self.plain, '__func__', None) is not type(self.module).forward:  # replaced by a user
            return _same, (self.plain,)
        return _plain_forward, (self.module,)


def _plain_forward(module: nn.Module) -> MethodType:
    return MethodType(type(module).forward, module)


def _same(forward: Callable[..., Any]) -> Callable[..., Any]:
    return forward


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
    if _has_checkpoints(model) and Version(torch.__version__) < _CHECKPOINTS_SINCE:
        raise ValueError(f'compiled by torch {torch.__version__}, activation checkpointing (with_cp) '
                         'counts each batch twice in running statistics: install torch '
                         f'{_CHECKPOINTS_SINCE} or newer, leave with_cp out, or do not compile')
    device = next((weight.device.type for weight in model.parameters()), 'cpu')
    if backend == 'inductor' and device == 'cpu':
        compiler = os.environ.get('CXX', 'clang++' if sys.platform == 'darwin' else 'g++')
        if shutil.which(compiler) is None:
            raise ValueError(f'there is no {compiler}, but to compile for a CPU takes a C++ compiler: '
                             'install it (apt install g++), name another in the environment variable '
                             'CXX, or do not compile')
