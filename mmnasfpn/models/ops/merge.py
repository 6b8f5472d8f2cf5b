"""The binary operations of a merging cell (section 3.1, Figure 4), all called alike."""
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmnasfpn.models.ops.resample import is_graph_made, upsample


def sum_maps(coarse: Tensor, fine: Tensor, steps: int = 0) -> Tensor:
    """Add two maps; takes and returns what :func:`global_pooling` does."""
    _check_sizes(coarse, fine, steps)
    if steps and _needs_gradients(coarse, fine):
        return _Merge.apply(coarse, fine, steps, False)
    return _merge(coarse, fine, steps, None)


def global_pooling(coarse: Tensor, fine: Tensor, steps: int = 0) -> Tensor:
    """Gate the fine map by what is found anywhere in the coarse one, and add the coarse one.

    The paper removes the convolutions from the global attention of Pyramid Attention Networks
    and leaves the pooling open; its authors' code takes the maximum.

    Args:
        coarse (Tensor): The input whose own level is the higher one (the first input where
            both are of one level). Shape (N, C, ceil(H / 2**steps), ceil(W / 2**steps)).
        fine (Tensor): The other input, at the size of the cell, (N, C, H, W).
        steps (int): How many levels above the cell's ``coarse`` is; it is upsampled to the cell's.
            Defaults to 0.

    Returns:
        Tensor: ``coarse + fine * sigmoid(max over H and W of coarse)``, shape (N, C, H, W). Where
        several positions of ``coarse`` have the maximum, one of them gets its gradient, as in max
        pooling; compiled, they share it.

    Raises:
        ValueError: If the sizes do not fit ``steps``.
    """
    _check_sizes(coarse, fine, steps)
    if _needs_gradients(coarse, fine):
        return _Merge.apply(coarse, fine, steps, True)
    return _merge(coarse, fine, steps, coarse.amax(dim=(2, 3), keepdim=True).sigmoid())


def global_average_pooling(coarse: Tensor, fine: Tensor, steps: int = 0) -> Tensor:
    """Gate the coarse map by the average of the fine one, and add the fine one.

    What MMDetection's NASFPN does in place of :func:`global_pooling`: gate and gated are swapped,
    and the pool is the average.

    Returns:
        Tensor: ``fine + coarse * sigmoid(mean over H and W of fine)``, shape (N, C, H, W).
    """
    gate = fine.mean(dim=(2, 3), keepdim=True).sigmoid()  # (N, C, 1, 1)
    return fine + _to_size_of(fine, coarse, steps) * gate


class _Merge(torch.autograd.Function):
    """Upsample, gate and add in as few operations as there are, forward and backward.

    A GPU spends more time on starting operations and on moving maps than on computing these.
    """

    @staticmethod
    def forward(ctx: Any, coarse: Tensor, fine: Tensor, steps: int, is_gated: bool) -> Tensor:
        """Merge, as :func:`sum_maps` or :func:`global_pooling`."""
        ctx.kernel, ctx.is_gated = 2**steps, is_gated
        if not is_gated:
            return _merge(coarse, fine, steps, None)
        maximum, position = coarse.flatten(2).max(dim=2, keepdim=True)  # (N, C, 1)
        gate = maximum[..., None].sigmoid()
        ctx.save_for_backward(fine, gate, position)
        return _merge(coarse, fine, steps, gate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Return the gradients of both maps."""
        grad_coarse = grad if ctx.kernel == 1 else F.avg_pool2d(  # a sum over each window
            grad, ctx.kernel, ceil_mode=True, divisor_override=1)
        if not ctx.is_gated:
            return grad_coarse, grad, None, None
        fine, gate, position = ctx.saved_tensors
        # Where the backward pass runs in autocast too, a GPU gives sums in float32.
        grad_gate = (grad * fine).sum(dim=(2, 3), keepdim=True).to(grad.dtype)
        grad_maximum = torch.ops.aten.sigmoid_backward(grad_gate, gate).flatten(2)  # (N, C, 1)
        flat = grad_coarse.flatten(2)
        # Not in place where it is the gradient that autograd gave.
        scatter_add = flat.scatter_add if ctx.kernel == 1 else flat.scatter_add_
        return scatter_add(2, position, grad_maximum).view_as(grad_coarse), grad * gate, None, None


def _needs_gradients(coarse: Tensor, fine: Tensor) -> bool:
    return (torch.is_grad_enabled() and (coarse.requires_grad or fine.requires_grad)
            and not is_graph_made())


def _check_sizes(coarse: Tensor, fine: Tensor, steps: int) -> None:
    if is_graph_made():  # where sizes are symbols
        return
    expected = tuple(-(-size // 2**steps) for size in fine.shape[-2:])
    if tuple(coarse.shape[-2:]) != expected:
        raise ValueError(f'the coarse map is {coarse.shape[-2]}x{coarse.shape[-1]}, but must be '
                         f'{expected[0]}x{expected[1]}, which is {steps} levels above the fine map of '
                         f'{fine.shape[-2]}x{fine.shape[-1]}: give it at its own level')


def _merge(coarse: Tensor, fine: Tensor, steps: int, gate: Tensor | None) -> Tensor:
    samples, channels, height, width = fine.shape
    rows, columns = coarse.shape[-2:]
    kernel = 2**steps
    if (steps and not is_graph_made() and runs_fast_on_blocks(fine) and coarse.dtype == fine.dtype
            and (height, width) == (rows * kernel, columns * kernel)):
        # The upsampled map is not made: each of its values meets a block of the fine map.
        blocks = fine.view(samples, channels, rows, kernel, columns, kernel)
        merged = torch.empty_like(fine)
        out = merged.view(blocks.shape)
        coarse = coarse[:, :, :, None, :, None]
        if gate is None:
            torch.add(blocks, coarse, out=out)
        else:
            torch.addcmul(coarse, blocks, gate[..., None, None], out=out)
        return merged
    coarse = _to_size_of(fine, coarse, steps)
    return coarse + fine if gate is None else torch.addcmul(coarse, fine, gate)


def runs_fast_on_blocks(x: Tensor) -> bool:
    """Return whether a map's device is as fast on small blocks as on rows; a CPU is slower."""
    return x.device.type != 'cpu'


def _to_size_of(fine: Tensor, coarse: Tensor, steps: int) -> Tensor:
    return upsample(coarse, steps, (fine.shape[-2], fine.shape[-1])) if steps else coarse
