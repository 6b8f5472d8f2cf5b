"""Convert a checkpoint file."""
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmnasfpn.checkpoints.atomic import save_checkpoint
from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.converters.keras import convert_keras_mobilenetv2, read_keras_variables
from mmnasfpn.converters.mmdet import convert_mmdet_checkpoint
from mmnasfpn.converters.tensorflow import convert_tf_neck, read_tf_variables
from mmnasfpn.errors import UsageError
from mmnasfpn.models.necks.base import AUTHORS_NORM_CFG


def convert_checkpoint(source: str, checkpoint: str | os.PathLike[str], out: str | os.PathLike[str],
                       input_levels: Sequence[int] | None = None, trust_checkpoint: bool = False,
                       eps: float | None = None) -> str:
    """Convert a checkpoint file; write nothing unless all of it is right.

    Args:
        source (str): ``'mmdet'``: a detector with MMDetection's NASFPN. ``'tf'``: the neck of the
            authors' TensorFlow code; the result holds the neck alone. ``'keras'``: Keras's MobileNetV2,
            for a backbone.
        checkpoint (str | PathLike): What to convert.
        out (str | PathLike): Where to write; must not exist.
        input_levels (Sequence[int] | None): For ``'tf'``, see :func:`convert_tf_neck`.
        trust_checkpoint (bool): For ``'mmdet'``: read the checkpoint in full, whatever it makes Python
            run. Defaults to False: weights only.
        eps (float | None): For ``'tf'``, see :func:`convert_tf_neck`. Defaults to None, the authors'.

    Returns:
        str: What was written, and what to do with it.

    Raises:
        UsageError: If an argument does not go with the source.
        ImportError: If h5py is not installed, which ``.h5`` files of Keras need.
        ConversionError, CheckpointError: If it cannot be read or is not of such a model.
        FileExistsError: If ``out`` exists.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f'{out} exists: name another file, or remove it')
    for option, value in (('--input-levels', input_levels), ('--eps', eps)):
        if source != 'tf' and value is not None:
            raise UsageError(f'{option} is for --from tf only')
    if source != 'mmdet' and trust_checkpoint:
        raise UsageError('--trust-checkpoint is for --from mmdet only: variables run no code')
    if source == 'mmdet':
        converted = convert_mmdet_checkpoint(load_checkpoint(checkpoint, trust=trust_checkpoint))
        advice = ("for a detector whose neck is type='mmnasfpn.NASFPN', variant='mmdet'; that of "
                  'retinanet_r50_nasfpn_crop640-50e_coco is '
                  'configs/nasfpn/retinanet_r50_nasfpn-7x256-mmdet_crop640-50e_coco.py')
    elif source == 'tf':
        neck = convert_tf_neck(read_tf_variables(checkpoint), input_levels,
                               AUTHORS_NORM_CFG['eps'] if eps is None else eps)
        converted = dict(meta={}, state_dict={f'neck.{name}': value for name, value in neck.items()})
        advice = ("the neck alone: give it to a config as load_from, or as the neck's "
                  "init_cfg=dict(type='Pretrained', prefix='neck.', checkpoint=...)")
    elif source == 'keras':
        converted = dict(meta={}, state_dict=convert_keras_mobilenetv2(read_keras_variables(checkpoint)))
        advice = ("for a backbone of type='mmnasfpn.MobileNetV2' as that of "
                  'configs/nasfpn/_base_/retinanet_mobilenetv2_nasfpn_finetune.py, as its '
                  "init_cfg=dict(type='Pretrained', checkpoint=...)")
    else:
        raise UsageError(f"source is {source!r}, but must be 'mmdet', 'tf' or 'keras'")
    save_checkpoint(converted, out)
    return f'{out}: {_describe(converted["state_dict"])}, {advice}'


def _describe(state_dict: Mapping[str, Any]) -> str:
    if 'conv1.conv.weight' in state_dict:
        return f'{len(state_dict)} tensors of a MobileNetV2'
    stacks = {name.split('.')[2] for name in state_dict if name.startswith('neck.pyramids.')}
    dimension = next(value for name, value in state_dict.items()
                     if name.startswith('neck.pyramids.') and value.dim() == 4).shape[0]
    return f'{len(state_dict)} tensors, {len(stacks)} @ {dimension}'
