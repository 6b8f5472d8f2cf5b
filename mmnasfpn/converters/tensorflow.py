"""Weights of the authors' TensorFlow neck."""
import os
import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmnasfpn.converters.errors import ConversionError
from mmnasfpn.models.necks.base import AUTHORS_NORM_CFG

#: A variable's place in the neck, whatever scope the whole stands in.
_PLACE = re.compile(r'(?P<scope>.*?)(?P<place>resample_l(?P<level>\d+)|'
                    r'fpn_cells/cell_(?P<stack>\d+)/sub_policy(?P<cell>\d+)/'
                    r'op_after_combine(?P<node>\d+))/(?P<part>.+?)(?::0)?')
#: Layers are called `conv` in cells; in laterals by TensorFlow's default.
_PARTS = re.compile(r'(?:conv|conv2d|separable_conv2d)/(kernel|depthwise_kernel|pointwise_kernel|bias)|'
                    r'bn/(gamma|beta|moving_mean|moving_variance)')
_NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')
#: The variables of a convolution and its normalisation by their short names.
_Layer = dict[str, np.ndarray]


def convert_tf_neck(variables: Mapping[str, np.ndarray],
                    input_levels: Sequence[int] | None = None,
                    eps: float = AUTHORS_NORM_CFG['eps']) -> dict[str, Tensor]:
    """Convert the variables of the authors' neck: any stacks, levels and genotype, plain or separable.

    Convolutions' biases go into the mean of the normalisation that follows, which is the same in
    inference.

    Args:
        variables (Mapping[str, ndarray]): By TensorFlow's names, such as
            ``resample_l3/conv2d/kernel`` (1, 1, C_in, C) and
            ``fpn_cells/cell_0/sub_policy0/op_after_combine5/bn/gamma`` (C,), in any common scope.
            Convolution kernels are (rows, columns, in, out). Variables that are not the neck's, and
            slots of optimizers, are left alone.
        input_levels (Sequence[int] | None): Levels of the backbone's maps. Where one of them already
            has the feature dimension, the authors' code has no variables for it, and the lateral
            becomes the identity. Consecutive, fine to coarse. Defaults to the lowest to the highest for
            which there are.
        eps (float): That of the batch normalisation of the neck that will load the result, at least 0
            and below 1: a lateral is the identity with this one alone. Defaults to the authors', as the
            neck's ``norm_cfg`` does.

    Returns:
        dict[str, Tensor]: Loads strictly into a :class:`~mmnasfpn.models.necks.NASFPN` of the same
        arguments.

    Raises:
        ConversionError: If variables are missing, of wrong shapes or of several necks, or ``eps`` is out
            of its range; names them.
    """
    if not 0 <= eps < 1:
        raise ConversionError(f'eps is {eps!r}, but must be at least 0 and below 1')
    laterals, cells = _group(variables)
    state: dict[str, np.ndarray] = {}
    channels, num_levels = _convert_cells(cells, state)
    first = next(iter(cells.values()))
    for index, level in enumerate(_input_levels(input_levels, laterals, num_levels)):
        lateral = laterals[level] if level in laterals else _identity_like(first, channels, eps)
        _convert(lateral, f'resample_l{level}', f'laterals.{index}', 1, state, None, channels)
    return {name: torch.from_numpy(np.array(value, order='C')) for name, value in state.items()}


def read_tf_variables(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the variables of a TensorFlow checkpoint, or of an ``.npz`` of them.

    Args:
        path (str | PathLike): An ``.npz`` with TensorFlow's names as keys, for which TensorFlow is not
            needed, or the prefix of a checkpoint (``model.ckpt-22500``).

    Raises:
        ConversionError: If it cannot be read; says why.
    """
    path = os.fspath(path)
    if path.endswith('.npz'):
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files if _PLACE.match(name)}
        except FileNotFoundError:
            raise ConversionError(f'there is no file {path}') from None
        except Exception as error:  # zipfile's, zlib's and NumPy's own, for damage of any kind
            raise ConversionError(f'{path} is not an .npz of plain arrays: {error}') from None
    try:
        import tensorflow as tf  # type: ignore[import-untyped]
    except ImportError:
        raise ConversionError(
            f'{path} is read with TensorFlow, which is not installed here: install it, or write the '
            'variables to an .npz where it is: reader = tf.train.load_checkpoint(path); '
            'np.savez(out, **{name: reader.get_tensor(name) for name in '
            'reader.get_variable_to_shape_map()})') from None
    if not Path(f'{path}.index').is_file():
        raise ConversionError(f'there is no {path}.index: give the prefix of the checkpoint, as in '
                              'model.ckpt-22500, without .index or .data-00000-of-00001')
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
            if _PLACE.match(name)}


def _group(variables: Mapping[str, Any]) -> tuple[dict[int, _Layer], dict[tuple[int, int, int], _Layer]]:
    """Return the laterals by level and the cells' convolutions by stack, cell and node."""
    laterals: dict[int, _Layer] = {}
    cells: dict[tuple[int, int, int], _Layer] = {}
    scopes = set()
    for name, value in variables.items():
        match = _PLACE.fullmatch(name)
        if not match or not (part := _PARTS.fullmatch(match['part'])):
            continue
        scopes.add(match['scope'])
        if match['level']:
            layer = laterals.setdefault(int(match['level']), {})
        else:
            layer = cells.setdefault((int(match['stack']), int(match['cell']), int(match['node'])), {})
        layer[part[1] or part[2]] = np.asarray(value)
    if len(scopes) > 1:
        raise ConversionError(f'there are variables of several necks, in the scopes {sorted(scopes)}: '
                              'give those of one')
    if not cells:
        raise ConversionError("there are no variables of the authors' neck (fpn_cells/cell_0/...)")
    if not laterals:
        raise ConversionError("there are no variables of the authors' laterals (resample_l3/...)")
    return laterals, cells


def _convert_cells(cells: Mapping[tuple[int, int, int], _Layer],
                   state: dict[str, np.ndarray]) -> tuple[int, int]:
    """Add all cells to the state and return the feature dimension and the number of levels."""
    stacks, per_stack = (1 + max(place[axis] for place in cells) for axis in (0, 1))
    _, first_cell, first_node = min(cells)
    num_levels = first_node - first_cell
    channels = None
    for stack, cell in product(range(stacks), range(per_stack)):
        node = num_levels + cell
        where = f'fpn_cells/cell_{stack}/sub_policy{cell}'
        if (stack, cell, node) not in cells:
            raise ConversionError(f'{where}/op_after_combine{node} is missing, but there are {stacks} '
                                  f'stacks of {per_stack} cells: give all variables')
        channels = _convert(cells[stack, cell, node], where, f'pyramids.{stack}.cells.{cell}.conv', 3,
                            state, channels, channels)
    assert channels is not None
    return channels, num_levels


def _input_levels(levels: Sequence[int] | None, laterals: Mapping[int, _Layer],
                  num_levels: int) -> list[int]:
    """Return the levels of the backbone's maps, by default from the lowest lateral to the highest."""
    levels = list(range(min(laterals), max(laterals) + 1) if levels is None else levels)
    is_consecutive = levels and levels == list(range(levels[0], levels[0] + len(levels)))
    if not is_consecutive or len(levels) > num_levels:
        raise ConversionError(f'the input levels are {levels}, but must be consecutive, fine to coarse, '
                              f'and at most {num_levels}')
    if unknown := sorted(set(laterals) - set(levels)):
        raise ConversionError(f'there are variables of laterals at the levels {unknown}, but '
                              f'input_levels is {levels}')
    return levels


def _convert(place: _Layer, where: str, name: str, kernel: int,
             state: dict[str, np.ndarray], in_channels: int | None, out_channels: int | None) -> int:
    """Add a convolution and its normalisation to the state and return the channels it makes."""
    separable = 'depthwise_kernel' in place
    kernels = ('depthwise_kernel', 'pointwise_kernel') if separable else ('kernel',)
    missing = [part for part in (*kernels, 'bias', *_NORM) if part not in place]
    if missing:
        raise ConversionError(f"{where} lacks {', '.join(missing)}: give all variables")
    for part in kernels:
        if place[part].ndim != 4:
            raise ConversionError(f'{part} of {where} has the shape {place[part].shape}, but must have '
                                  'rows, columns, in, out')
    last = place[kernels[-1]]
    out = out_channels or last.shape[3]
    taken = in_channels or last.shape[2]
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(('bias', *_NORM), (out,))
    shapes |= (dict(depthwise_kernel=(kernel, kernel, taken, 1), pointwise_kernel=(1, 1, taken, out))
               if separable else dict(kernel=(kernel, kernel, taken, out)))
    for part, shape in shapes.items():
        if place[part].dtype.kind != 'f' or not np.isfinite(place[part]).all():
            raise ConversionError(f'{part} of {where} must be finite floating-point numbers, but is of '
                                  f'{place[part].dtype}, or has NaN or infinity: give float32')
        if place[part].shape != shape:
            raise ConversionError(
                f'{part} of {where} has the shape {place[part].shape}, but must be {shape}')
    conv = f'{name}.pointwise_conv' if separable else name
    if separable:  # (rows, columns, in, 1) -> (in, 1, rows, columns)
        state[f'{name}.depthwise_conv.conv.weight'] = place['depthwise_kernel'].transpose(2, 3, 0, 1)
    state |= {f'{conv}.conv.weight': last.transpose(3, 2, 0, 1),  # -> (out, in, rows, columns)
              f'{conv}.bn.weight': place['gamma'], f'{conv}.bn.bias': place['beta'],
              f'{conv}.bn.running_mean': place['moving_mean'] - place['bias'],
              f'{conv}.bn.running_var': place['moving_variance'],
              f'{conv}.bn.num_batches_tracked': np.array(0)}
    return out


def _identity_like(layer: _Layer, channels: int, eps: float) -> _Layer:
    """Return the variables of a 1x1 convolution and normalisation that change nothing."""
    one, zero = np.ones(channels, layer['bias'].dtype), np.zeros(channels, layer['bias'].dtype)
    kernel = np.eye(channels, dtype=one.dtype)[None, None]  # (1, 1, in, out)
    kernels = (dict(depthwise_kernel=one[None, None, :, None], pointwise_kernel=kernel)
               if 'depthwise_kernel' in layer else dict(kernel=kernel))
    # The normalisation divides by the root of variance + eps.
    return dict(kernels, bias=zero, gamma=one, beta=zero, moving_mean=zero, moving_variance=one - eps)
