"""MobileNetV2 as a backbone of detectors."""
from collections.abc import Sequence
from typing import Any

from mmdet.models.backbones import MobileNetV2 as MMDetMobileNetV2

from mmnasfpn.registry import MODELS

_LAST_LAYER = 6


@MODELS.register_module()
class MobileNetV2(MMDetMobileNetV2):
    """MMDetection's MobileNetV2 without its last 1x1 convolution to 1280 channels.

    That convolution serves classification. MMDetection builds and runs it even where its map is not
    returned, so that its 0.41 M parameters never get a gradient.

    Args:
        out_indices (Sequence[int]): Layers whose maps are returned, in 0..6. Defaults to
            (2, 4, 6): 32, 96 and 320 channels at strides 8, 16 and 32.
        **kwargs: As for MMDetection's.

    Raises:
        ValueError: If ``out_indices`` names a layer that is not there.
    """

    def __init__(self, out_indices: Sequence[int] = (2, 4, 6), **kwargs: Any) -> None:
        if not out_indices or any(index not in range(_LAST_LAYER + 1) for index in out_indices):
            raise ValueError(f'out_indices is {out_indices!r}, but must be some of 0..{_LAST_LAYER}: '
                             'the layer 7 of MMDetection is not built here')
        super().__init__(out_indices=out_indices, **kwargs)
        for name in self.layers[max(out_indices) + 1:]:
            delattr(self, name)
        del self.layers[max(out_indices) + 1:]

    def train(self, mode: bool = True) -> 'MobileNetV2':
        """Set the mode and return self, which MMDetection's forgets."""
        super().train(mode)
        return self
