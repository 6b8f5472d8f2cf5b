"""What a config's neck and detector are timed against. Nothing is built here."""
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmnasfpn.benchmark.settings import CONVOLUTIONS, DEFAULT_WAYS, FPN, MMDET, OURS, SWITCHES
from mmnasfpn.errors import UsageError
from mmnasfpn.export.to_onnx import check_installed, missing_packages
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.models.necks import NASFPN
from mmnasfpn.registry import class_of

#: The switches that a model does not have.
_UNAVAILABLE = {OURS: set(), MMDET: {'recomputed'}, FPN: {'recomputed'},
                CONVOLUTIONS: {'compiled', 'recomputed', 'onnx'}}


@dataclass(frozen=True)
class Setting:
    """What all cases share."""

    image_size: tuple[int, int]  # rows and columns
    batch_size: int
    mode: str  # 'infer', or 'train': a forward and a backward pass
    device: torch.device


@dataclass(frozen=True)
class Case:
    """What is timed."""

    part: str  # 'neck' or 'detector'
    model: str  # OURS, MMDET, FPN or CONVOLUTIONS
    way: str  # 'eager', or some of SWITCHES with + between


class NeckSize(NamedTuple):
    """The only size in which a neck differs from a config's: stacks, feature dimension or image size."""

    name: str
    value: int


def default_ways(mode: str, device: torch.device) -> tuple[str, ...]:
    """Return :data:`DEFAULT_WAYS`, and ONNX Runtime where it can run."""
    has_onnx = mode == 'infer' and device.type == 'cpu' and not missing_packages()
    return (*DEFAULT_WAYS[mode], 'onnx') if has_onnx else DEFAULT_WAYS[mode]


def switches_of(way: str, mode: str) -> frozenset[str]:
    """Return the switches that a way of a :class:`Case` turns on.

    Raises:
        UsageError: If there is no such switch, or not in this mode.
    """
    switches = frozenset() if way == 'eager' else frozenset(way.split('+'))
    if unknown := sorted(switches - set(SWITCHES)):
        raise UsageError(f'way {way!r}: there is no {unknown[0]!r}; it is eager, or some of '
                         f'{", ".join(SWITCHES)} with + between')
    for wrong in switches & ({'folded', 'onnx'} if mode == 'train' else {'recomputed'}):
        raise UsageError(f'way {way!r}: {wrong} is {SWITCHES[wrong]}, and this is --mode {mode}')
    if 'onnx' in switches and len(switches) > 1:
        raise UsageError(f'way {way!r}: onnx is {SWITCHES["onnx"]}')
    return switches


def plan(cfg: Config, setting: Setting, parts: Sequence[str], ways: Sequence[str],
         models: Sequence[str] = (OURS, CONVOLUTIONS, MMDET, FPN)) -> list[Case]:
    """Return the cases to time: the neck or the detector of a config, and what it is compared with.

    These are the same with MMDetection's NASFPN and head, where it has the same shape, and with the
    authors' FPN; and the convolutions of ours alone, each on an input of its own. Parts, ways and models
    are those of a :class:`Case`.

    Raises:
        ValueError: If the config has another neck, or a way does not exist in this setting.
    """
    check(cfg, setting, ways)
    possible = set(models) & set(necks(cfg.model.neck, setting.image_size))
    grouped = itertools.product(parts, ((OURS, CONVOLUTIONS), (MMDET,), (FPN,)), ways)
    return [Case(part, model, way) for part, group, way in grouped for model in group
            if model in possible and not _UNAVAILABLE[model] & switches_of(way, setting.mode)]


def plan_sizes(stacks: Sequence[int] = (), channels: Sequence[int] = (),
               image_sizes: Sequence[int] = ()) -> list[NeckSize]:
    """Return the sizes to time, to see what each costs: one at a time differs from the config's."""
    sizes = {'stacks': stacks, 'feature dimension': channels, 'image size': image_sizes}
    return [NeckSize(name, value) for name, values in sizes.items() for value in values]


def check(cfg: Config, setting: Setting, ways: Sequence[str]) -> None:
    """Raise a ValueError unless the config has a NASFPN neck, and each way exists in this setting."""
    neck = cfg.model.get('neck')
    if not isinstance(neck, Mapping) or not issubclass(class_of(MODELS, neck, cfg), NASFPN):
        raise ValueError(f'{cfg.filename} has no mmnasfpn.NASFPN as its neck')
    for way in ways:
        if 'onnx' in switches_of(way, setting.mode):
            check_installed()
            if setting.device.type != 'cpu':
                raise UsageError(f"way 'onnx': it is {SWITCHES['onnx']}, and this is --device "
                                 f'{setting.device.type}')


def necks(neck: dict[str, Any], image_size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Return the config of the neck of each model that can be compared."""
    shared: dict[str, Any] = {
        key: neck[key]
        for key in ('in_channels', 'out_channels', 'num_outs', 'start_level', 'end_level', 'norm_cfg')
        if key in neck}
    found = {OURS: neck, CONVOLUTIONS: neck,
             FPN: dict(type='mmnasfpn.FPN', separable=neck.get('separable', False), **shared)}
    if (get_genotype(neck.get('genotype', 'nasfpn')) == get_genotype('nasfpn')
            and not neck.get('separable') and neck.get('dropblock_cfg') is None
            and all(pixels % 128 == 0 for pixels in image_size)):
        found[MMDET] = dict(type='mmdet.NASFPN', stack_times=neck['stack_times'], **shared)
    return found
