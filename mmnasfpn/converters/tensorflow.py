"""Weights of the authors' TensorFlow neck."""
import os
import re
from collections.abc import Mapping, Sequence
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
    places = _group(variables)
    laterals = {int(match.group('level')): place for match, place in places if match.group('level')}
    cells = {(int(match.group('stack')), int(match.group('cell'))): (int(match.group('node')), place)
             for match, place in places if match.group('stack')}
    if not cells:
        raise ConversionError("there are no variables of the authors' neck (fpn_cells/cell_0/...)")
    if not laterals:
        raise ConversionError("there are no variables of the authors' laterals (resample_l3/...)")
    stacks, per_stack = (1 + max(numbers[axis] for numbers in cells) for axis in (0, 1))
    num_levels = cells[min(cells)][0] - min(cells)[1]
    state: dict[str, np.ndarray] = {}
    channels = None
    for stack in range(stacks):
        for cell in range(per_stack):
            node, place = cells.get((stack, cell), (None, None))
            where = f'fpn_cells/cell_{stack}/sub_policy{cell}'
            if place is None or node != num_levels + cell:
                raise ConversionError(
                    f'{where}/op_after_combine{num_levels + cell} is missing, but there are {stacks} '
                    f'stacks of {per_stack} cells: give all variables')
            out = _convert(place, where, f'pyramids.{stack}.cells.{cell}.conv', 3, state, channels,
                           channels)
            channels = channels or out
    assert channels is not None
    separable = 'pyramids.0.cells.0.conv.depthwise_conv.conv.weight' in state
    levels = list(range(min(laterals), max(laterals) + 1) if input_levels is None else input_levels)
    consecutive = levels and levels == list(range(levels[0], levels[0] + len(levels)))
    if not consecutive or len(levels) > num_levels:
        raise ConversionError(f'the input levels are {levels}, but must be consecutive, fine to coarse, '
                              f'and at most {num_levels}')
    unknown = sorted(set(laterals) - set(levels))
    if unknown:
        raise ConversionError(f'there are variables of laterals at the levels {unknown}, but '
                              f'input_levels is {levels}')
    for index, level in enumerate(levels):
        name = f'laterals.{index}'
        if level in laterals:
            _convert(laterals[level], f'resample_l{level}', name, 1, state, None, channels)
        else:
            _add_identity(name, channels, separable, eps, state)
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


def _group(variables: Mapping[str, Any]) -> list[tuple[re.Match, dict[str, np.ndarray]]]:
    """Return each place of the neck with its variables by their short names."""
    places: dict[str, tuple[re.Match, dict[str, np.ndarray]]] = {}
    scopes = set()
    for name, value in variables.items():
        match = _PLACE.fullmatch(name)
        if not match or not (part := _PARTS.fullmatch(match.group('part'))):
            continue
        scopes.add(match.group('scope'))
        _, found = places.setdefault(match.group('place'), (match, {}))
        found[part.group(1) or part.group(2)] = np.asarray(value)
    if len(scopes) > 1:
        raise ConversionError(f'there are variables of several necks, in the scopes {sorted(scopes)}: '
                              'give those of one')
    return list(places.values())


def _convert(place: Mapping[str, np.ndarray], where: str, name: str, kernel: int,
             state: dict[str, np.ndarray], in_channels: int | None, out_channels: int | None) -> int:
    """Add a convolution and its normalisation to the state and return the channels it makes."""
    separable = 'depthwise_kernel' in place
    kernels = ('depthwise_kernel', 'pointwise_kernel') if separable else ('kernel',)
    missing = [part for part in (*kernels, 'bias', *_NORM) if part not in place]
    if missing:
        raise ConversionError(f"{where} lacks {', '.join(missing)}: give all variables")
    last = place[kernels[-1]]
    for part in kernels:
        if place[part].ndim != 4:
            raise ConversionError(f'{part} of {where} has the shape {place[part].shape}, but must have '
                                  'rows, columns, in, out')
    out = last.shape[3] if out_channels is None else out_channels
    taken = last.shape[2] if in_channels is None else in_channels
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(('bias', *_NORM), (out,))
    if separable:
        expected |= dict(depthwise_kernel=(kernel, kernel, taken, 1),
                         pointwise_kernel=(1, 1, taken, out))
    else:
        expected |= dict(kernel=(kernel, kernel, taken, out))
    for part, shape in expected.items():
        if place[part].dtype.kind != 'f' or not np.isfinite(place[part]).all():
            raise ConversionError(f'{part} of {where} must be finite floating-point numbers, but is of '
                                  f'{place[part].dtype}, or has NaN or infinity: give float32')
        if place[part].shape != shape:
            raise ConversionError(
                f'{part} of {where} has the shape {place[part].shape}, but must be {shape}')
    conv = f'{name}.pointwise_conv' if separable else name
    if separable:  # (rows, columns, in, 1) -> (in, 1, rows, columns)
        state[f'{name}.depthwise_conv.conv.weight'] = place['depthwise_kernel'].transpose(2, 3, 0, 1)
    state[f'{conv}.conv.weight'] = last.transpose(3, 2, 0, 1)  # -> (out, in, rows, columns)
    _add_norm(conv, place['gamma'], place['beta'], place['moving_mean'] - place['bias'],
              place['moving_variance'], state)
    return out


def _add_norm(name: str, weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, var: np.ndarray,
              state: dict[str, np.ndarray]) -> None:
    state |= {f'{name}.bn.weight': weight, f'{name}.bn.bias': bias, f'{name}.bn.running_mean': mean,
              f'{name}.bn.running_var': var, f'{name}.bn.num_batches_tracked': np.array(0)}


def _add_identity(name: str, channels: int, separable: bool, eps: float,
                  state: dict[str, np.ndarray]) -> None:
    dtype = next(iter(state.values())).dtype
    conv = f'{name}.pointwise_conv' if separable else name
    one, zero = np.ones(channels, dtype), np.zeros(channels, dtype)
    if separable:
        state[f'{name}.depthwise_conv.conv.weight'] = np.ones((channels, 1, 1, 1), dtype)
    state[f'{conv}.conv.weight'] = np.eye(channels, dtype=dtype)[..., None, None]
    _add_norm(conv, one, zero, zero, one - eps, state)  # it divides by the root of variance + eps
