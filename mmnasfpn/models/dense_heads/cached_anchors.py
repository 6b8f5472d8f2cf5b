"""Anchors that are made once for each size of the maps."""
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from torch import Tensor

#: For so many sizes of images; at 1280 pixels, 5 MB of anchors each.
MAX_SIZES = 8

Sizes = tuple[tuple[int, int], ...]


class _Cache(dict):
    """The last few values made. Copies and pickles of it are empty, so that checkpoints stay small."""

    def get_or_make(self, key: Hashable, make: Callable[[], Tensor], max_size: int) -> Tensor:
        if key not in self:
            # What is made in inference mode could not be used in training later.
            with torch.inference_mode(False), torch.no_grad():
                value = make()
            if type(value) is not Tensor:  # one of a tracer's: of no use after tracing
                return value
            if len(self) >= max_size:
                del self[next(iter(self))]
            self[key] = value
        return self[key]

    def __reduce__(self) -> tuple[type, tuple]:
        return type(self), ()


class CachedAnchors(AnchorHead):
    """Mix-in over MMDetection's ``AnchorHead``: its anchors, made once for each size of the maps."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._anchors = _Cache()
        self._flags = _Cache()

    def _anchors_of(self, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Return the anchors of all levels, (A, 4)."""
        key = self.prior_generator, sizes, device, dtype
        return self._anchors.get_or_make(key, lambda: torch.cat(
            self.prior_generator.grid_priors(sizes, dtype=dtype, device=device)), MAX_SIZES)

    def _inside_flags(self, sizes: Sizes, metas: Sequence[Mapping[str, Any]]) -> Tensor | None:
        """Say which anchors are used in which image, (N, A), on the host; None where all are."""
        border = self.train_cfg['allowed_border']
        pads = [tuple(meta['pad_shape'][:2]) for meta in metas]
        if border < 0 and all(self._covers(sizes, pad) for pad in set(pads)):
            return None
        shapes = [tuple(meta['img_shape'][:2]) if border >= 0 else None for meta in metas]
        return torch.stack([self._flags_of(sizes, *size) for size in zip(pads, shapes, strict=True)])

    def _covers(self, sizes: Sizes, pad_shape: tuple[int, ...]) -> bool:
        return all(math.ceil(pad_shape[0] / stride[1]) >= height
                   and math.ceil(pad_shape[1] / stride[0]) >= width
                   for (height, width), stride in zip(sizes, self.prior_generator.strides, strict=True))

    def _flags_of(self, sizes: Sizes, pad_shape: tuple[int, ...],
                  img_shape: tuple[int, ...] | None) -> Tensor:
        """Say which anchors are used in an image, (A,); ``img_shape`` where the border counts."""
        def make() -> Tensor:
            flags = torch.cat(self.prior_generator.valid_flags(sizes, pad_shape, device='cpu'))
            if img_shape is not None:
                anchors = self._anchors_of(sizes, torch.device('cpu'), torch.float32)
                flags = anchor_inside_flags(anchors, flags, img_shape, self.train_cfg['allowed_border'])
            if not flags.any():
                raise ValueError(
                    f'no anchor is inside an image of {img_shape or pad_shape} pixels (height, width): '
                    'take larger images, smaller anchors, or train_cfg.allowed_border=-1, with which '
                    'anchors may extend beyond the image')
            return flags
        key = self.prior_generator, sizes, pad_shape, img_shape
        return self._flags.get_or_make(key, make, 8 * MAX_SIZES)


def sizes_of(maps: Sequence[Tensor]) -> Sizes:
    """Return the height and width of each map, (N, C, height, width)."""
    return tuple((x.shape[-2], x.shape[-1]) for x in maps)


def join_levels(maps: Sequence[Tensor], channels: int) -> Tensor:
    """Put what all levels say of their anchors in one tensor.

    Args:
        maps (Sequence[Tensor]): For each level, (N, anchors * channels, height, width), with as many
            anchors per position in each level.
        channels (int): Numbers for each anchor.

    Returns:
        Tensor: Shape (N, A, channels), the anchors in the order of MMDetection's.
    """
    joined = torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps], 1)  # the only copy
    return joined.view(len(joined), -1, channels)


def to_device(values: np.ndarray | Tensor, device: torch.device,
              dtype: torch.dtype | None = None) -> Tensor:
    """Copy from the host to a device, without waiting until the device is done."""
    return torch.as_tensor(values, dtype=dtype).to(device, non_blocking=True)
