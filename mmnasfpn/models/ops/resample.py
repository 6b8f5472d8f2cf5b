"""Bring a map from one pyramid level to another (section 3.1).

In :func:`resample`, cells stay aligned with the image's origin: the map of level ``l + k`` has
``ceil(H / 2**k)`` rows where that of level ``l`` has ``H``, and its row ``i`` belongs to the rows
``i * 2**k`` to ``(i + 1) * 2**k - 1``, fewer at the bottom. Columns likewise. MMDetection's NASFPN
goes by sizes instead, :func:`resample_by_size`; where all sizes divide, the two are the same.
"""
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from packaging.version import Version
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.fx.experimental.symbolic_shapes import statically_known_true

#: Whether compiled code can ask what is known of sizes; tried with 2.6, which cannot, and from 2.9 on.
_KNOWS_SIZES = Version(torch.__version__) >= Version('2.9')


def is_graph_made() -> bool:
    """Return whether a compiler or exporter makes a graph, which knows PyTorch's own operations best."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def downsample(x: Tensor, steps: int, memory_efficient: bool | None = None) -> Tensor:
    """Take a map to a coarser level by max pooling.

    Args:
        x (Tensor): Shape (N, C, H, W).
        steps (int): How many levels up, at least 1. Kernel and stride are ``2**steps``;
            windows that reach past the bottom or the right take the maximum of what is there.
        memory_efficient (bool | None): For the backward pass, keep the positions of the maxima in four
            bytes each and not, as PyTorch does, in eight and the map that is pooled. That takes two more
            operations. Defaults to None: on a CPU, where they cost next to nothing.

    Returns:
        Tensor: Shape (N, C, ceil(H / 2**steps), ceil(W / 2**steps)).
    """
    kernel = 2**steps
    if not is_graph_made():
        is_cpu = x.device.type == 'cpu'
        if x.requires_grad and torch.is_grad_enabled():
            if is_cpu if memory_efficient is None else memory_efficient:
                return _MaxPool.apply(x, kernel)
        elif is_cpu and x.is_contiguous() and not any(n % kernel for n in x.shape[-2:]):
            # A fifth of the time of PyTorch's max pooling, which is slow on a CPU in this layout alone.
            for _ in range(steps):
                x = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
                x = torch.maximum(x[..., ::2], x[..., 1::2])
            return x
    if torch.compiler.is_dynamo_compiling() and not _surely_divide(x.shape[-2:], kernel):
        # Of ceil_mode, Inductor makes one graph for sizes that divide and others for those that do not.
        return F.max_pool2d(F.pad(x, (0, kernel - 1, 0, kernel - 1), value=-torch.inf), kernel)
    # Where kernel and stride are equal and nothing is padded on the left, ceil_mode extends the
    # map at the bottom and right only, and never lets the extension win.
    return F.max_pool2d(x, kernel, stride=kernel, ceil_mode=True)


def _surely_divide(sizes: Sequence[int], kernel: int) -> bool:
    """Return whether sizes divide, if that is known where they are symbols of a compiler; else False."""
    return _KNOWS_SIZES and all(statically_known_true(size % kernel == 0) for size in sizes)


class _MaxPool(torch.autograd.Function):
    """Max pooling that keeps four bytes of each value for the backward pass.

    PyTorch's keeps the map that was pooled, whose values it does not need, and positions of eight bytes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int) -> Tensor:
        """Pool windows of ``kernel`` x ``kernel``."""
        pooled, positions = F.max_pool2d(x, kernel, stride=kernel, ceil_mode=True, return_indices=True)
        ctx.size = x.shape[-2:]
        ctx.save_for_backward(positions.int())  # counted row by row in each map
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Give each gradient to the position that was the maximum."""
        positions, = ctx.saved_tensors
        # Called by F.max_unpool2d, which refuses windows that reach past the edge.
        return torch._C._nn.max_unpool2d(grad, positions.long(), ctx.size), None


def upsample(x: Tensor, steps: int, size: tuple[int, int]) -> Tensor:
    """Take a map to a finer level by nearest neighbour.

    Args:
        x (Tensor): Shape (N, C, H, W).
        steps (int): How many levels down, at least 1. Each value is repeated ``2**steps`` times.
        size (tuple[int, int]): Rows and columns of the finer level, at most ``2**steps`` times
            those of ``x``; what is past them is cropped.

    Returns:
        Tensor: Shape ``(N, C, *size)``.
    """
    height, width = size
    if not torch.compiler.is_dynamo_compiling() or _surely_divide(size, 2**steps):
        return F.interpolate(x, scale_factor=2**steps, mode='nearest')[..., :height, :width]
    # Of cropping, the compiler makes one graph for sizes that divide and others for those that do not.
    if x.requires_grad and torch.is_grad_enabled():
        return _Upsample.apply(x, 2**steps, height, width)
    return _upsample(x, 2**steps, height, width)


def _upsample(x: Tensor, scale: int, height: int, width: int) -> Tensor:
    return torch.ops.aten.upsample_nearest2d(x, (height, width), scale, scale)


class _Upsample(torch.autograd.Function):
    """Upsampling, compiled, whose backward pass sums windows; PyTorch's adds up each value by itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: int, height: int, width: int) -> Tensor:
        """Upsample to a size."""
        ctx.scale = scale
        return _upsample(x, scale, height, width)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Sum the gradients of what each value was repeated to."""
        grad = F.pad(grad, (0, ctx.scale - 1, 0, ctx.scale - 1))
        return F.avg_pool2d(grad, ctx.scale, divisor_override=1), None, None, None


def resample(x: Tensor, steps: int, size: tuple[int, int],
             memory_efficient: bool | None = None) -> Tensor:
    """Take a map to another level.

    Args:
        x (Tensor): Shape (N, C, H, W).
        steps (int): The target's level less that of ``x``: positive goes coarser by
            :func:`downsample`, negative goes finer by :func:`upsample`, 0 returns ``x`` itself.
        size (tuple[int, int]): Rows and columns of the target level.
        memory_efficient (bool | None): As for :func:`downsample`. Defaults to None.

    Returns:
        Tensor: Shape ``(N, C, *size)``.
    """
    if steps > 0:
        return downsample(x, steps, memory_efficient)
    if steps < 0:
        return upsample(x, -steps, size)
    return x


def halve_rounding_up(x: Tensor, memory_efficient: bool | None = None) -> Tensor:
    """Take a map, (N, C, H, W), to the next coarser level by :func:`downsample`."""
    return downsample(x, 1, memory_efficient)


def halve_rounding_down(x: Tensor, memory_efficient: bool | None = None) -> Tensor:
    """Take a map to the next coarser level by max pooling, dropping an odd last row and column.

    What MMDetection's NASFPN makes its coarsest levels with.

    Args:
        x (Tensor): Shape (N, C, H, W), H and W at least 2.
        memory_efficient (bool | None): Not used: here only to be called like :func:`downsample`.

    Returns:
        Tensor: Shape (N, C, H // 2, W // 2).

    Raises:
        ValueError: If the map has a single row or column.
    """
    if min(x.shape[-2:]) < 2:
        raise ValueError(
            f'a map of {x.shape[-2]}x{x.shape[-1]} has no coarser level where halves are rounded down, '
            "as variant='mmdet' has it: pad the images (pad_size_divisor=128)")
    return F.max_pool2d(x, 2)


def resample_by_size(x: Tensor, steps: int, size: tuple[int, int],
                     memory_efficient: bool | None = None) -> Tensor:
    """Take a map to another level's size, as mmcv's merge cells do.

    Coarser by max pooling after zeros were added on all sides, as evenly as possible, until the
    sizes divide; finer by nearest neighbour over the whole map. Which of the two is decided by
    the rows, and by the columns only between equal rows.

    Args:
        x (Tensor): Shape (N, C, H, W).
        steps (int): Not used: here only to be called like :func:`resample`.
        size (tuple[int, int]): Rows and columns of the target level.
        memory_efficient (bool | None): Not used, as ``steps``.

    Returns:
        Tensor: Shape ``(N, C, *size)``.
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    if tuple(x.shape[-2:]) < tuple(size):
        return F.interpolate(x, size=size, mode='nearest')
    (height, width), (rows, columns) = x.shape[-2:], size
    kernel = -(-height // rows), -(-width // columns)
    below, beside = kernel[0] * rows - height, kernel[1] * columns - width
    x = F.pad(x, (beside // 2, beside - beside // 2, below // 2, below - below // 2))
    return F.max_pool2d(x, kernel)
