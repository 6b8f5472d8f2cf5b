"""TensorFlow's padding by amounts that do not depend on the size of the map."""
import torch.nn.functional as F
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from torch import Tensor, nn


class FixedPaddingConv2d(Conv2dAdaptivePadding):
    """MMCV's ``Conv2dAdaptivePadding``, of odd kernels and a stride of 1 or 2, for maps of open sizes.

    What MMCV works out from the size of the map leaves PyTorch's compiler and exporter without an end
    where sizes are open. With a stride of 2, TensorFlow pads by half of the kernel at the bottom and the
    right, and at the top and the left by one less where the size is even. Upside down and mirrored that
    is a plain convolution of fixed padding.
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 (as nn.Conv2d)
        padding = tuple(d * (size // 2) for d, size in zip(self.dilation, self.kernel_size, strict=True))
        if self.stride == (1, 1):
            return F.conv2d(x, self.weight, self.bias, 1, padding, self.dilation, self.groups)
        return F.conv2d(x.flip(2, 3), self.weight.flip(2, 3), self.bias, self.stride, padding,
                        self.dilation, self.groups).flip(2, 3)


def fix_padding(model: nn.Module) -> nn.Module:
    """Make each ``Conv2dAdaptivePadding`` that can be one a :class:`FixedPaddingConv2d`, in place.

    Args:
        model (nn.Module): The model.

    Returns:
        nn.Module: The same model, of the same weights, which computes the same.
    """
    for conv in model.modules():
        if type(conv) is Conv2dAdaptivePadding and _is_fixed(conv):
            conv.__class__ = FixedPaddingConv2d
    return model


def _is_fixed(conv: Conv2dAdaptivePadding) -> bool:
    return (all(size % 2 for size in conv.kernel_size)
            and (conv.stride == (1, 1) or (conv.stride == (2, 2) and min(conv.kernel_size) > 1)))
