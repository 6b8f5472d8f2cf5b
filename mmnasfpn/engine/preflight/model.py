"""Find mistakes in a config before any training starts."""
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.mask_heads import FusedSemanticHead
from torch import nn

from mmnasfpn.checkpoints.fit import unwrapped
from mmnasfpn.datasets.annotations import list_some
from mmnasfpn.models.necks import PyramidNeck


def check_model(model: nn.Module, classes: Sequence[str] | None = None) -> None:
    """Check that backbone, neck and heads fit each other and the data.

    The backbone runs on one image for that, where the detector has a neck of this package's.

    Args:
        model (nn.Module): A detector.
        classes (Sequence[str] | None): The classes of the data. Defaults to None: any number of them.

    Raises:
        ValueError: If the neck's ``in_channels`` are not those of the backbone's maps, the head is not
            made for the neck's levels and channels, or a head predicts another number of classes than
            the data have.
    """
    detector: Any = unwrapped(model)
    if classes is not None:
        _check_num_classes(detector, classes)
    neck = getattr(detector, 'neck', None)
    if not isinstance(neck, PyramidNeck):
        return
    with torch.no_grad(), modes_restored(detector):
        detector.eval()
        device = next(detector.parameters()).device
        neck.check_inputs(detector.backbone(torch.zeros(1, 3, 128, 128, device=device)))
    for name in ('bbox_head', 'rpn_head'):
        _check_head(name, getattr(detector, name, None), neck)


def _check_num_classes(detector: nn.Module, classes: Sequence[str]) -> None:
    wrong: dict[int, list[str]] = {}
    for name, module in detector.named_modules():
        number = getattr(module, 'num_classes', None)
        # Heads only, and no proposals or stuff, which have classes of their own.
        if ('head' in name and isinstance(number, int) and number != len(classes)
                and not isinstance(module, RPNHead | FusedSemanticHead)
                and not name.endswith(('rpn_head', 'semantic_head'))
                and not getattr(module, 'class_agnostic', False)):
            wrong.setdefault(number, []).append(name)
    if wrong:
        found = '; '.join(f'{", ".join(names)}: num_classes is {number}'
                          for number, names in wrong.items())
        raise ValueError(f'{found}, but the data have {len(classes)} classes ({list_some(classes)}): '
                         f'set it to {len(classes)}')


@contextlib.contextmanager
def modes_restored(model: nn.Module) -> Iterator[None]:
    """Leave each module of a model in training or evaluation mode as it was."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _check_head(name: str, head: Any, neck: PyramidNeck) -> None:
    generator = getattr(head, 'prior_generator', None)
    for argument, value, neck_argument, needed in (
            ('in_channels', getattr(head, 'in_channels', None), 'out_channels', neck.out_channels),
            ('num_ins', getattr(head, 'num_ins', None), 'num_outs', neck.num_outs),
            ('strides (of its anchor or point generator), in number,',
             getattr(generator, 'num_levels', None), 'num_outs', neck.num_outs)):
        if isinstance(value, int) and value != needed:
            raise ValueError(f'{name}: {argument} is {value}, but the {neck_argument} of the neck is '
                             f'{needed}: make them agree')
