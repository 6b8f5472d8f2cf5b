"""Weights of Keras's MobileNetV2, trained on ImageNet."""
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmnasfpn.converters.errors import ConversionError

#: Blocks in each of MMDetection's seven layers; Keras counts them through.
_BLOCKS_PER_LAYER = (1, 2, 3, 4, 3, 3, 1)
_STEMS = {'Conv1': 'conv1.conv', 'bn_Conv1': 'conv1.bn', 'Conv1_bn': 'conv1.bn'}
_PARTS = dict(expand='expand_conv', depthwise='depthwise_conv', project='linear_conv')
_BLOCK = re.compile(r'(expanded_conv|block_(\d+))_(expand|depthwise|project)(_BN)?')
_NORM = dict(gamma='weight', beta='bias', moving_mean='running_mean', moving_variance='running_var')


def convert_keras_mobilenetv2(variables: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Convert the variables of Keras's MobileNetV2, of any width.

    Args:
        variables (Mapping[str, ndarray]): By Keras's names, such as ``Conv1/kernel`` (3, 3, 3, C) and
            ``block_3_depthwise_BN/gamma`` (C,), in any scope. Kernels are (rows, columns, in, out), and
            (rows, columns, C, 1) of depthwise convolutions. Those of the last 1x1 convolution, of the
            classifier and of an optimizer are left alone.

    Returns:
        dict[str, Tensor]: Loads strictly into a :class:`~mmnasfpn.models.backbones.MobileNetV2` with
        ``conv_cfg=dict(type='Conv2dAdaptivePadding')``, ``eps=1e-3`` in its ``norm_cfg``, and images of
        RGB brought from 0..255 to -1..1.

    Raises:
        ConversionError: If variables are missing; names them.
    """
    state_dict = {}
    for name, value in variables.items():
        *scopes, layer, variable = name.split('/')
        place = _STEMS.get(layer) or _place_in_block(layer)
        if place is None or 'optimizer_weights' in scopes:
            continue
        variable = variable.partition(':')[0]
        if variable in _NORM:
            state_dict[f'{place}.{_NORM[variable]}'] = torch.from_numpy(np.array(value))
        else:
            state_dict[f'{place}.weight'] = _kernel(value, is_depthwise='depthwise' in place)
    if missing := sorted(set(_expected()) - set(state_dict)):
        raise ConversionError(f"of Keras's MobileNetV2, {len(missing)} variables are missing, such as "
                              f'those of {", ".join(missing[:3])} here: give the file of the whole '
                              'backbone')
    return state_dict


def read_keras_variables(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the variables of a ``.h5`` file of Keras, or of an ``.npz`` file, by their names.

    Raises:
        ImportError: If h5py is not installed, for an ``.h5``.
        ConversionError: If it can be read as neither.
    """
    if Path(path).suffix == '.npz':
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except ValueError as error:
            raise ConversionError(f'{path} is no .npz of variables: {error}') from None
    try:
        import h5py
    except ImportError:
        raise ImportError('reading an .h5 file of Keras needs h5py: '
                          "pip install 'mmnasfpn[keras]'") from None

    variables: dict[str, np.ndarray] = {}
    try:
        with h5py.File(path) as file:
            file.visititems(lambda name, item: variables.update({name: item[()]})
                            if isinstance(item, h5py.Dataset) else None)
    except OSError as error:
        if not Path(path).is_file():
            raise
        raise ConversionError(f'{path} is no .h5 file: {error}') from None
    return variables


def _kernel(value: np.ndarray, is_depthwise: bool) -> Tensor:
    # (rows, columns, C, 1) -> (C, 1, rows, columns), or (rows, columns, in, out) -> (out, in, ...)
    order = (2, 3, 0, 1) if is_depthwise else (3, 2, 0, 1)
    return torch.from_numpy(np.array(value)).permute(order).contiguous()


def _place_in_block(layer: str) -> str | None:
    match = _BLOCK.fullmatch(layer)
    if match is None:
        return None
    block, part, is_norm = int(match[2] or 0), match[3], match[4] is not None
    for number, size in enumerate(_BLOCKS_PER_LAYER, 1):
        if block < size:
            return f'layer{number}.{block}.{_PARTS[part]}.{"bn" if is_norm else "conv"}'
        block -= size
    return None


def _expected() -> Iterator[str]:
    """Yield the keys of the whole backbone."""
    modules = ['conv1']
    for number, size in enumerate(_BLOCKS_PER_LAYER, 1):
        # The first block does not expand its input.
        parts = [part for part in _PARTS.values() if number > 1 or part != 'expand_conv']
        modules += [f'layer{number}.{block}.{part}' for block in range(size) for part in parts]
    for module in modules:
        yield f'{module}.conv.weight'
        yield from (f'{module}.bn.{name}' for name in _NORM.values())
