"""Bring a map from one pyramid level to another (section 3.1).

Cells stay aligned with the image's origin: the map of level ``l + k`` has ``ceil(H / 2**k)``
rows where that of level ``l`` has ``H``, and its row ``i`` belongs to the rows ``i * 2**k`` to
``(i + 1) * 2**k - 1``, fewer at the bottom. Columns likewise.
"""
import torch.nn.functional as F
from torch import Tensor


def downsample(x: Tensor, steps: int) -> Tensor:
    """Take a map to a coarser level by max pooling.

    Args:
        x (Tensor): Shape (N, C, H, W).
        steps (int): How many levels up, at least 1. Kernel and stride are ``2**steps``;
            windows that reach past the bottom or the right take the maximum of what is there.

    Returns:
        Tensor: Shape (N, C, ceil(H / 2**steps), ceil(W / 2**steps)).
    """
    kernel = 2**steps
    # Where kernel and stride are equal and nothing is padded on the left, ceil_mode extends the
    # map at the bottom and right only, and never lets the extension win.
    return F.max_pool2d(x, kernel, stride=kernel, ceil_mode=True)


def upsample(x: Tensor, steps: int, size: tuple[int, int]) -> Tensor:
    """Take a map to a finer level by nearest neighbour.

    Args:
        x (Tensor): Shape (N, C, H, W).
        steps (int): How many levels down, at least 1. Each value is repeated ``2**steps`` times.
        size (tuple[int, int]): Rows and columns of the finer level, at most ``2**steps`` times
            those of ``x``; what is past them is cropped.

    Returns:
        Tensor: Shape (N, C, *size).
    """
    height, width = size
    return F.interpolate(x, scale_factor=2**steps, mode='nearest')[..., :height, :width]


def resample(x: Tensor, steps: int, size: tuple[int, int]) -> Tensor:
    """Take a map to another level.

    Args:
        x (Tensor): Shape (N, C, H, W).
        steps (int): The target's level less that of ``x``: positive goes coarser by
            :func:`downsample`, negative goes finer by :func:`upsample`, 0 returns ``x`` itself.
        size (tuple[int, int]): Rows and columns of the target level.

    Returns:
        Tensor: Shape (N, C, *size).
    """
    if steps > 0:
        return downsample(x, steps)
    if steps < 0:
        return upsample(x, -steps, size)
    return x
