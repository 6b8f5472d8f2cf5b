"""How many operations a model starts, and how often it waits for its device: what a GPU is slowed by.

Nothing is timed, so that the counts are the same on every machine.
"""
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmnasfpn._markdown import to_table
from mmnasfpn.benchmark.build import build
from mmnasfpn.benchmark.cases import Case, Setting
from mmnasfpn.benchmark.settings import MMDET
from mmnasfpn.errors import UsageError

#: Operations that allocate without writing. Views are known by their schema.
_ALLOCATIONS = {'empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided'}
#: Views whose schema does not say so.
_VIEWS = {'_unsafe_view', '_reshape_alias', 'detach', 'lift_fresh', 'unsafe_split', 'unsafe_chunk'}
#: Operations whose result, or its size, the processor must know before it goes on.
_WAITS = {'_local_scalar_dense', 'nonzero', 'masked_select', 'equal', '_unique2', 'unique_consecutive',
          'unique_dim'}
#: Operations that wait where one of their indices is a mask.
_INDEXING = {'index', 'index_put', 'index_put_', '_index_put_impl_'}


@dataclass(frozen=True)
class Count:
    """What a run did, by the names of PyTorch's operations."""

    operations: dict[str, int]  # without views and allocations
    waits: int  # those after which the processor waits for the device

    @property
    def total(self) -> int:
        """All operations."""
        return sum(self.operations.values())


class _CountingLists(TorchFunctionMode):
    """Counts the calls that wait without an operation."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.waits += func is torch.Tensor.tolist
        return func(*args, **(kwargs or {}))


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split('::')[1]
        if not func.is_view and name not in _ALLOCATIONS | _VIEWS:
            self.operations[name] += 1
            self.waits += name in _WAITS or (name in _INDEXING and any(map(_is_mask, args[1])))
        return func(*args, **(kwargs or {}))


def _is_mask(index: Any) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def count(run: Callable[[], Any]) -> Count:
    """Count the operations that reach PyTorch's dispatcher in a call, backward passes in it included.

    A custom operation counts as the operations inside it.

    Args:
        run (Callable): What to call.
    """
    with _Counting() as counting, _CountingLists() as lists:
        run()
    return Count(dict(counting.operations.most_common()), counting.waits + lists.waits)


def count_case(case: Case, cfg: Any, setting: Setting) -> Count:
    """Count a case that :func:`~mmnasfpn.benchmark.cases.plan` returns.

    A neck is counted on PyTorch's meta device, where it runs as on a GPU; a detector, whose operations
    depend on what it computes, on the CPU.

    Raises:
        UsageError: If the case is compiled, exported or in mixed precision, which is for a device.
    """
    for switch in ('compiled', 'onnx', 'bf16'):
        if switch in case.way.split('+'):
            raise UsageError(f'way {case.way!r}: operations are counted as PyTorch runs them one by '
                             f'one, in float32: leave out {switch}')
    device = torch.device('meta' if case.part == 'neck' else 'cpu')
    run = build(case, cfg, replace(setting, device=device))
    run()  # what is made in the first run alone, such as anchors, does not count
    return count(run)


def to_markdown(found: Mapping[Case, Count]) -> str:
    """Return the counts as a Markdown table, each beside MMDetection's, eager and in the same way."""
    rows = []
    for case, own in found.items():
        ratios = []
        for way in ('eager', case.way):
            mmdet = found.get(replace(case, model=MMDET, way=way))
            ratios.append(f'{own.total / mmdet.total:.3f}' if mmdet else '')
        rows.append((case.part, case.model, case.way, str(own.total), *ratios, str(own.waits)))
    return to_table(('part', 'model', 'way', 'operations', "/ MMDetection's, eager",
                     'the same, in the same way', 'waits'), rows)
