"""Mixed precision, and what heads and MMCV's operators need there or channels last."""
from typing import Any

import torch
from torch import Tensor, nn


def run_in_autocast(model: Any, dtype: torch.dtype) -> Any:
    """Let a model compute in mixed precision whenever it is called; boxes stay in float32.

    Of several calls the last is in force.

    Args:
        model (nn.Module): The model, on its device.
        dtype (torch.dtype): ``torch.bfloat16`` or ``torch.float16``.

    Returns:
        nn.Module: The same model.
    """
    keep_boxes_float32(model)
    plain = getattr(model.forward, 'without_autocast', model.forward)
    model.forward = torch.autocast(next(model.parameters()).device.type, dtype)(plain)
    model.forward.without_autocast = plain
    return model


def keep_boxes_float32(model: nn.Module) -> nn.Module:
    """Let heads give, and RoI extractors take, float32 where the model runs in autocast.

    In bfloat16, boxes would be pixels off, and MMCV's NMS and RoIAlign take none on a CPU. Heads are the
    modules with MMDetection's ``predict_by_feat``. Calling it twice has no further effect.

    Args:
        model (nn.Module): The model.

    Returns:
        nn.Module: The same model.
    """
    for module in model.modules():
        if hasattr(module, 'predict_by_feat') and _output_float32 not in module._forward_hooks.values():
            module.register_forward_hook(_output_float32)
    return give_rois_plain_maps(model)


def give_rois_plain_maps(model: nn.Module) -> nn.Module:
    """Let RoI extractors take float32 in rows: MMCV's operators misread maps stored channels last.

    Calling it twice has no further effect.

    Args:
        model (nn.Module): The model.

    Returns:
        nn.Module: The same model.
    """
    for module in model.modules():
        if hasattr(module, 'roi_layers') and _plain_inputs not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_plain_inputs)
    return model


def _output_float32(module: nn.Module, inputs: tuple, outputs: Any) -> Any:
    return _float32(outputs)


def _plain_inputs(module: nn.Module, inputs: tuple) -> Any:
    maps, *others = inputs
    return [x.contiguous() for x in _float32(maps)], *others


def _float32(value: Any) -> Any:
    """Convert the tensors of floats in a head's outputs, which are nested in tuples and lists."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if isinstance(value, tuple | list):
        return type(value)(map(_float32, value))
    return value
