"""Batch normalisation folded into the convolutions before it, for inference."""
from collections.abc import Iterator
from itertools import pairwise

from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmcv.cnn.bricks.wrappers import Conv2d
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mmnasfpn.models.padding import FixedPaddingConv2d

#: Others do more than to convolve.
_CONVOLUTIONS = (nn.Conv2d, Conv2d, Conv2dAdaptivePadding, FixedPaddingConv2d)


def fold_norms(model: nn.Module) -> nn.Module:
    """Fold each batch normalisation into the convolution that it directly follows, in place.

    Only where a module says that it does: MMCV's ``ConvModule``, ``nn.Sequential``, and modules with
    ``conv1`` and ``norm1_name``, as MMDetection's residual blocks; any other normalisation stays. MMCV's
    own function goes by the order in which modules were registered, and is wrong where they run in
    another. Where several normalisations follow one convolution, as those of the levels in
    MMDetection's ``RetinaSepBNHead``, each gets a convolution of its own; that takes more parameters.
    Those of an ``AnytimeDetector`` whose exits share their convolutions stay.

    Args:
        model (nn.Module): The model. It is put into evaluation mode.

    Returns:
        nn.Module: The same model. It can no longer be trained, and has other parameters.
    """
    model.eval()
    for module in list(model.modules()):
        for conv_name, norm_name in list(_pairs(module)):
            conv, norm = getattr(module, conv_name), getattr(module, norm_name)
            if type(conv) in _CONVOLUTIONS and isinstance(norm, _BatchNorm):
                # This copies it: other normalisations may share it.
                module._modules[conv_name] = fuse_conv_bn_eval(conv, norm)
                module._modules[norm_name] = nn.Identity()
    return model


def _pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of a convolution and of the normalisation that follows it."""
    if isinstance(module, nn.Sequential):
        children = list(module._modules.items())
        for (name, first), (next_name, second) in pairwise(children):
            if isinstance(first, nn.Conv2d) and isinstance(second, _BatchNorm):
                yield name, next_name
        return
    if isinstance(module, ConvModule) and (
            module.with_spectral_norm or module.order not in (('conv', 'norm', 'act'),
                                                              ('act', 'conv', 'norm'))):
        return
    for number in ('', 1, 2, 3):
        conv, norm = f'conv{number}', getattr(module, f'norm{number}_name', None)
        if norm and conv in module._modules and norm in module._modules:
            yield conv, norm
