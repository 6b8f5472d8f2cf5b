"""TensorFlow's padding by amounts that do not depend on the size of the map."""
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from torch import Tensor, nn


def fix_padding(model: nn.Module) -> nn.Module:
    """Pad before convolutions by fixed amounts, where MMCV works them out from the size of the map.

    What MMCV does leaves PyTorch's exporter without an end where sizes are open.

    Args:
        model (nn.Module): The model, whose ``Conv2dAdaptivePadding`` of odd kernels and a stride of 1 or
            2 are replaced.

    Returns:
        nn.Module: The same model, which computes the same.
    """
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):
            if isinstance(child, Conv2dAdaptivePadding) and _is_fixed(child):
                module._modules[name] = _plain(child) if child.stride == (1, 1) else _Mirrored(child)
    return model


class _Mirrored(nn.Module):
    """A convolution of stride 2.

    TensorFlow pads by half of the kernel at the bottom and the right, and at the top and the left by one
    less where the size is even. Upside down and mirrored that is a plain convolution of fixed padding.
    """

    def __init__(self, conv: Conv2dAdaptivePadding) -> None:
        super().__init__()
        self.conv = _plain(conv)
        self.conv.weight = nn.Parameter(conv.weight.detach().flip(2, 3), conv.weight.requires_grad)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.flip(2, 3)).flip(2, 3)


def _is_fixed(conv: Conv2dAdaptivePadding) -> bool:
    return (all(size % 2 for size in conv.kernel_size)
            and (conv.stride == (1, 1) or (conv.stride == (2, 2) and min(conv.kernel_size) > 1)))


def _plain(conv: Conv2dAdaptivePadding) -> nn.Conv2d:
    padding = [d * (size // 2) for d, size in zip(conv.dilation, conv.kernel_size, strict=True)]
    plain = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride,
                      tuple(padding), conv.dilation, conv.groups, conv.bias is not None)
    plain.weight, plain.bias = conv.weight, conv.bias
    return plain.train(conv.training)
