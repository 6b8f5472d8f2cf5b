"""ResNet-10, the backbone of the proxy task (section 4.2)."""
from typing import Any

from mmdet.models.backbones import ResNet
from mmdet.models.backbones.resnet import BasicBlock

from mmnasfpn.registry import MODELS


@MODELS.register_module()
class ResNet10(ResNet):
    """MMDetection's ResNet with one basic block in each of its four stages.

    Args:
        depth (int): 10, the only one.
        **kwargs: As for MMDetection's.

    Raises:
        ValueError: If ``depth`` is another.
    """

    arch_settings = {10: (BasicBlock, (1, 1, 1, 1))}

    def __init__(self, depth: int = 10, **kwargs: Any) -> None:
        if depth != 10:
            raise ValueError(f'depth is {depth!r}, but must be 10: for others use mmdet.ResNet')
        super().__init__(depth=depth, **kwargs)

    def train(self, mode: bool = True) -> 'ResNet10':
        """Set the mode and return self, which MMDetection's forgets."""
        super().train(mode)
        return self
