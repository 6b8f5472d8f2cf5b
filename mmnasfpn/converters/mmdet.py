"""Weights of MMDetection's own NASFPN, for ``NASFPN(variant='mmdet')``."""
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmnasfpn.checkpoints.fit import differences, state_dict_of
from mmnasfpn.converters.errors import ConversionError
from mmnasfpn.models.necks.nasfpn import NASFPN

#: What MMDetection calls the convolutions of the published cells, in the order of the genotype.
_CELLS = ('gp_64_4', 'sum_44_4', 'sum_43_3', 'sum_34_4', 'sum_55_5', 'sum_77_7', 'gp_75_6')

_RULES = (
    (r'lateral_convs\.(\d+)\.(.+)', r'laterals.\1.\2'),
    (r'extra_downsamples\.(\d+)\.0\.(.+)', r'coarser_convs.\1.\2'),
    *((rf'fpn_stages\.(\d+)\.{cell}\.out_conv\.(.+)', rf'pyramids.\1.cells.{index}.conv.\2')
      for index, cell in enumerate(_CELLS)),
)


def convert_mmdet_neck(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a ``mmdet.NASFPN``.

    The genotype is the same; ``variant='mmdet'`` has the rules in which the two differ. Nothing but the
    names changes, so that training goes on as well.

    Args:
        state_dict (Mapping[str, Tensor]): ``mmdet.NASFPN(...).state_dict()``, of any number of stacks,
            channels and input levels.

    Returns:
        dict[str, Tensor]: Loads strictly into ``NASFPN(..., variant='mmdet')`` of the same arguments,
        ``norm_cfg`` included: its default there is None, here it is batch normalisation.

    Raises:
        ConversionError: If these are not all the weights of such a neck; names what does not fit.
    """
    converted = {}
    for name, value in state_dict.items():
        for pattern, ours in _RULES:
            if match := re.fullmatch(pattern, name):
                converted[match.expand(ours)] = value
                break
        else:
            hint = ''
            if name.startswith(('pyramids.', 'laterals.')):
                hint = ": it is this package's own already, and needs no conversion"
            raise ConversionError(f"{name} is no weight of MMDetection's NASFPN{hint}")
    _check_complete(converted)
    return converted


def convert_mmdet_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a checkpoint of a detector with ``mmdet.NASFPN``; backbone and heads stay as they are.

    Args:
        checkpoint (Mapping[str, Any]): As MMEngine or MMDetection 2 saves it, or a bare state dict.

    Returns:
        dict[str, Any]: ``state_dict`` and ``meta``. The optimizer's state and the like are left out, for
        they refer to parameters by their order.

    Raises:
        CheckpointError: If it has no weights by name.
        ConversionError: If it has no such neck, or weights of it do not fit; names them.
    """
    state_dict = state_dict_of(checkpoint)
    neck = {name.removeprefix('neck.'): value for name, value in state_dict.items()
            if name.startswith('neck.')}
    if not neck:
        raise ConversionError('the checkpoint has no weights of a neck (neck....): it must be one of a '
                              "whole detector with MMDetection's NASFPN")
    neck = convert_mmdet_neck(neck)
    others = {name: value for name, value in state_dict.items() if not name.startswith('neck.')}
    return dict(meta=checkpoint.get('meta', {}),
                state_dict={**others, **{f'neck.{name}': value for name, value in neck.items()}})


def _check_complete(converted: Mapping[str, Tensor]) -> None:
    """Raise a ConversionError unless these are all that some neck has, in fitting shapes."""
    stacks = {name.split('.')[1] for name in converted if name.startswith('pyramids.')}
    laterals = [converted[name] for name in sorted(converted)
                if re.fullmatch(r'laterals\.\d+\.conv\.weight', name)]
    if not stacks or not laterals or any(weight.dim() != 4 for weight in laterals):
        raise ConversionError('the stacks (fpn_stages...) or laterals (lateral_convs...) of '
                              "MMDetection's NASFPN are missing or no convolutions")
    in_channels = [weight.shape[1] for weight in laterals]
    out_channels = laterals[0].shape[0]
    what = f'NASFPN of in_channels={in_channels}, out_channels={out_channels}, stack_times={len(stacks)}'
    norms: dict[str, dict[str, Any]] = {'.bn.': dict(type='BN'), '.gn.': dict(type='GN', num_groups=1)}
    norm_cfg = next((cfg for key, cfg in norms.items() if any(key in name for name in converted)), None)
    with torch.device('meta'):  # only the shapes are needed
        neck = NASFPN(in_channels, out_channels, 5, len(stacks), variant='mmdet', norm_cfg=norm_cfg,
                      init_cfg=None)
    if problems := differences(neck.state_dict(), converted):
        raise ConversionError(f'what becomes the {what} {problems}')
