"""The authors' rules with one of MMDetection's NASFPN, as variants that a config can name.

The authors' gate is the maximum over the coarse map and multiplies the fine one. MMDetection's is the
average over the fine map and multiplies the coarse one.
"""
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from mmnasfpn.models.ops import VARIANTS, global_average_pooling, upsample

_AUTHORS, _MMDET = VARIANTS['authors'], VARIANTS['mmdet']


def average_gate(coarse: Tensor, fine: Tensor, steps: int = 0) -> Tensor:
    """Gate the fine map by the average over the coarse one."""
    gate = coarse.mean(dim=(2, 3), keepdim=True).sigmoid()  # (N, C, 1, 1)
    return _to_size_of(fine, coarse, steps) + fine * gate


def swapped_gate(coarse: Tensor, fine: Tensor, steps: int = 0) -> Tensor:
    """Gate the coarse map by the maximum over the fine one."""
    gate = fine.amax(dim=(2, 3), keepdim=True).sigmoid()  # (N, C, 1, 1)
    return fine + _to_size_of(fine, coarse, steps) * gate


def both_gates(coarse: Tensor, fine: Tensor, steps: int = 0) -> Tensor:
    """Gate the coarse map by the average over the fine one, as MMDetection does."""
    return global_average_pooling(_to_size_of(fine, coarse, steps), fine)


def _to_size_of(fine: Tensor, coarse: Tensor, steps: int) -> Tensor:
    return upsample(coarse, steps, (fine.shape[-2], fine.shape[-1])) if steps else coarse


def _with_gate(gate: Callable[[Tensor, Tensor, int], Tensor]) -> dict[str, Any]:
    return dict(merge_ops={**_AUTHORS.merge_ops, 'gp': gate})


#: What of the authors' rules each replaces.
RULES: dict[str, dict[str, Any]] = {
    'average-gate': _with_gate(average_gate),
    'swapped-gate': _with_gate(swapped_gate),
    'swapped-average-gate': _with_gate(both_gates),
    'coarser-convs': dict(has_coarser_convs=True),
    'conv-bias': dict(has_conv_bias=True),
    'resampling': dict(resample=_MMDET.resample, is_aligned=False, coarser=_MMDET.coarser),
}
VARIANTS.update({name: replace(_AUTHORS, **rules) for name, rules in RULES.items()})
