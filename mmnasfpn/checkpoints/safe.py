"""Checkpoints are data: read their weights, run nothing that they bring along.

A checkpoint is a pickle, which can name any function to be called when it is read. PyTorch's
weights-only reading allows tensors and plain containers; MMEngine's checkpoints hold also what it
logged, in types of its own and of NumPy, which are allowed here in addition. MMEngine's own reading
falls back to an unsafe one (OneDL's) or refuses its own checkpoints (the original).
"""
import contextlib
import functools
import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging.history_buffer import HistoryBuffer

_NUMPY_TYPES = (np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32,
                np.uint64, np.float16, np.float32, np.float64)
#: How PyTorch says that it read something fine but does not allow it.
_REFUSED = re.compile(r'GLOBAL (\S+)|call reduce|only create new object|only build|TorchScript')
_trust = threading.local()
_reading = threading.RLock()  # torch.load is replaced meanwhile


class CheckpointError(ValueError):
    """A checkpoint that cannot or must not be read, or does not fit: says why and what to do."""


@contextlib.contextmanager
def trust_checkpoints(trust: bool = True) -> Iterator[None]:
    """Read checkpoints in full within this context, whatever they make Python run.

    Args:
        trust (bool): False changes nothing. Defaults to True.
    """
    before = _is_trusted()
    _trust.value = trust or before
    try:
        yield
    finally:
        _trust.value = before


def load_checkpoint(path: str | os.PathLike[str], map_location: Any = 'cpu',
                    trust: bool = False) -> dict[str, Any]:
    """Read a checkpoint file, weights only.

    Args:
        path (str | PathLike): The file.
        map_location (Any): Where tensors go, as in :func:`torch.load`. Defaults to the CPU.
        trust (bool): Read it in full, as within :func:`trust_checkpoints`. Defaults to False.

    Raises:
        CheckpointError: If there is no such file, it is damaged, holds anything but weights and
            MMEngine's records, or is not a dict.
    """
    with trust_checkpoints(trust):
        checkpoint = _load(torch.load, path, map_location)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'{os.fspath(path)} holds a {type(checkpoint).__name__}, but a checkpoint '
                              'must be a dict of weights')
    return checkpoint


def guard(checkpoint_module: ModuleType) -> None:
    """Make MMEngine's ``CheckpointLoader`` read every checkpoint, from anywhere, weights only.

    MMEngine takes the text of a config out of a checkpoint, too, and runs it (on resuming, and for an
    inferencer that was given no config): it is left out.

    Args:
        checkpoint_module (ModuleType): ``mmengine.runner.checkpoint``.
    """
    loader = checkpoint_module.CheckpointLoader
    read = loader.load_checkpoint

    @functools.wraps(read)
    def load_guarded(cls: type, *args: Any, **kwargs: Any) -> Any:
        with _guarded_torch_load():
            checkpoint = read(*args, **kwargs)
        if not _is_trusted():
            for path in (('meta', 'cfg'), ('meta', 'config'), ('message_hub', 'runtime_info', 'cfg')):
                _drop(checkpoint, path)
        return checkpoint

    loader.load_checkpoint = classmethod(load_guarded)


def _drop(data: Any, path: tuple[str, ...]) -> None:
    *parents, last = path
    for key in parents:
        data = data.get(key) if isinstance(data, dict) else None
    if isinstance(data, dict):
        data.pop(last, None)


def _is_trusted() -> bool:
    return getattr(_trust, 'value', False)


@contextlib.contextmanager
def _guarded_torch_load() -> Iterator[None]:
    with _reading:
        load = torch.load
        reader = threading.get_ident()

        def load_guarded(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != reader:  # somebody else's, meanwhile
                return load(f, map_location, *args, **kwargs)
            return _load(load, f, map_location)

        torch.load = load_guarded
        try:
            yield
        finally:
            torch.load = load


def _load(load: Callable, f: Any, map_location: Any) -> Any:
    if _is_trusted():
        return load(f, map_location=map_location, weights_only=False)
    with _reading:
        return _load_weights_only(load, f, map_location)


def _load_weights_only(load: Callable, f: Any, map_location: Any) -> Any:
    name = os.fspath(f) if isinstance(f, str | os.PathLike) else 'the checkpoint'
    # OneDL's MMEngine allows getattr of anything; it must not be in the way of ours.
    elsewhere = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    # A buffer brings its statistics along and puts them into its class, for all others as well.
    statistics = dict(HistoryBuffer._statistics_methods)
    torch.serialization.add_safe_globals(
        [*(x for x in elsewhere if x not in (getattr, (getattr, 'builtins.getattr'))), *_allowed()])
    try:
        return load(f, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f'there is no file {name}') from None
    except OSError as error:
        raise CheckpointError(f'{name} cannot be read: {error}') from None
    except MemoryError:
        raise
    except Exception as error:  # whatever damage makes the readers of zip, pickle and tensors raise
        if isinstance(error, torch.OutOfMemoryError) or 'Attempting to deserialize' in str(error):
            raise  # of this machine, not of the file
        if not (refused := _REFUSED.search(str(error))):
            why = str(error).rpartition('WeightsUnpickler error: ')[2]  # without PyTorch's advice
            why = why.partition('\n')[0] or type(error).__name__
            raise CheckpointError(
                f'{name} is not a complete PyTorch checkpoint ({why}): copy or download '
                'it again, or save it again with the default pickle protocol') from None
        what = f' ({refused.group(1)})' if refused.group(1) else ''
        raise CheckpointError(
            f'{name} holds more than weights{what}, and reading that can run any code: ask where it '
            'comes from for the weights only, or, if you trust it, say so: --trust-checkpoint in our '
            'tools, mmnasfpn.checkpoints.safe.trust_checkpoints() in Python') from None
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(elsewhere)
        HistoryBuffer._statistics_methods.clear()
        HistoryBuffer._statistics_methods.update(statistics)


def _getattr_of_history_buffer(owner: Any, name: Any) -> FunctionType:
    """Stand in for the getattr by which pickles name the methods of a class."""
    method = vars(HistoryBuffer).get(name) if owner is HistoryBuffer and isinstance(name, str) else None
    if not isinstance(method, FunctionType) or name.startswith('_'):
        raise pickle.UnpicklingError(f'GLOBAL builtins.getattr of {owner!r}, {name!r} is not allowed')
    return method


@functools.cache
def _allowed() -> list[Any]:
    multiarray: Any = getattr(np, '_core' if hasattr(np, '_core') else 'core').multiarray
    return [
        HistoryBuffer, ConfigDict, (_getattr_of_history_buffer, 'builtins.getattr'),
        np.ndarray, np.dtype, bytes,  # the content of an empty array
        *{type(np.dtype(kind)) for kind in (*_NUMPY_TYPES, np.str_)},
        # As NumPy 1 and 2 name them.
        *((getattr(multiarray, name), f'numpy.{core}.multiarray.{name}')
          for name in ('_reconstruct', 'scalar') for core in ('core', '_core')),
    ]
