"""DropBlock (Ghiasi et al., NeurIPS 2018; section 4.4)."""
import torch
import torch.nn.functional as F
from torch import Tensor


def drop_block(x: Tensor, keep_prob: Tensor | float, block_size: int) -> Tensor:
    """Set random square blocks of each channel to zero and scale what is left up.

    Blocks may reach over the border, so that every position is kept with the same probability,
    exactly ``keep_prob``: it is dropped by any of the blocks that cover it, of which there are as
    many as a block has positions. (Where all blocks lie inside, as in the original, corners are
    kept more often, and an approximate rate leaves more than was asked for.)

    Args:
        x (Tensor): Shape (N, C, H, W).
        keep_prob (Tensor | float): Probability, in (0, 1], of keeping a position.
        block_size (int): Rows and columns of a block; clipped to those of a smaller map.

    Returns:
        Tensor: Shape (N, C, H, W). Scaled by the share that was kept, over the whole batch.
    """
    samples, channels, height, width = x.shape
    rows, columns = min(block_size, height), min(block_size, width)
    block_prob = 1 - keep_prob**(1 / (rows * columns))
    blocks = torch.rand(samples, channels, height + rows - 1, width + columns - 1,
                        device=x.device) < block_prob
    kept = 1 - F.max_pool2d(blocks.float(), (rows, columns), stride=1)  # (N, C, H, W), 0 or 1
    share = kept.mean().clamp(min=1 / kept.numel())  # never 0, not even where nothing is kept
    return x * (kept / share).to(x.dtype)
