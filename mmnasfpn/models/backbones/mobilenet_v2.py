"""MobileNetV2 as a backbone of detectors."""
from collections.abc import Sequence
from typing import Any

from mmdet.models.backbones import MobileNetV2 as MMDetMobileNetV2

from mmnasfpn._checks import check_out_indices
from mmnasfpn.registry import MODELS


@MODELS.register_module()
class MobileNetV2(MMDetMobileNetV2):
    """MMDetection's MobileNetV2 without its last 1x1 convolution to 1280 channels.

    That convolution serves classification. MMDetection builds and runs it even where its map is not
    returned, so that its 0.41 M parameters never get a gradient.

    Args:
        out_indices (Sequence[int]): Layers whose maps are returned, in 0..6. Defaults to
            (2, 4, 6): 32, 96 and 320 channels at strides 8, 16 and 32. What lies behind the last
            of them is not built.
        frozen_stages (int): -1 freezes nothing, 0 the first convolution, k > 0 also the first k
            layers. Defaults to -1.
        **kwargs: As for MMDetection's.

    Raises:
        ValueError: If ``out_indices`` or ``frozen_stages`` name a layer that is not there.
    """

    def __init__(self, out_indices: Sequence[int] = (2, 4, 6), frozen_stages: int = -1,
                 **kwargs: Any) -> None:
        check_out_indices(out_indices, 6, "the layer 7 of MMDetection's is not built here")
        out_indices = tuple(map(int, out_indices))
        built = max(out_indices) + 1
        if frozen_stages not in range(-1, built + 1):
            raise ValueError(f'frozen_stages is {frozen_stages!r}, but must be one of -1..{built}')
        super().__init__(out_indices=out_indices, frozen_stages=frozen_stages, **kwargs)
        for name in self.layers[built:]:
            delattr(self, name)
        del self.layers[built:]

    def train(self, mode: bool = True) -> 'MobileNetV2':
        """Set the mode and return self, which MMDetection's forgets."""
        super().train(mode)
        return self
