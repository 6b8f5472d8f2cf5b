"""DropBlock as a module whose strength can be ramped in (section 4.4)."""
import torch
from torch import Tensor, nn

from mmnasfpn._checks import check_whole_number
from mmnasfpn.models.ops import drop_block


class DropBlock(nn.Module):
    """Drop blocks of a map while training; the identity in evaluation.

    ``progress``, in 0..1, is the share of the dropping that is in force: 0 keeps everything, 1
    (the default) keeps ``keep_prob``. :class:`mmnasfpn.engine.hooks.DropBlockRampHook` ramps it in by
    the iteration of the run, so that a resumed run goes on where it stopped. It is not part of the
    state dict: checkpoints are the same with and without DropBlock.

    Args:
        keep_prob (float): Probability, in (0, 1], of keeping a position. The paper does not
            give its own. Defaults to 0.9, which is usual.
        block_size (int): Rows and columns of a block. Defaults to 3.

    Raises:
        ValueError: If an argument is impossible.
    """

    progress: Tensor

    def __init__(self, keep_prob: float = 0.9, block_size: int = 3) -> None:
        super().__init__()
        if not isinstance(keep_prob, int | float) or not 0 < keep_prob <= 1:
            raise ValueError(f'keep_prob is {keep_prob!r}, but must be a number above 0 and at most 1')
        check_whole_number('block_size', block_size, 1)
        self.keep_prob = keep_prob
        self.block_size = block_size
        # A tensor, so that a compiled model is not compiled anew at each step of the ramp.
        self.register_buffer('progress', torch.tensor(1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Drop blocks of a map, (N, C, H, W), while training."""
        if not self.training:
            return x
        keep_prob = 1 - self.progress.float() * (1 - self.keep_prob)
        return drop_block(x, keep_prob, self.block_size)

    def extra_repr(self) -> str:
        """Say what it drops, for ``print(model)``."""
        return f'keep_prob={self.keep_prob}, block_size={self.block_size}'
