"""The rules in which published NAS-FPNs differ, on the same genotype."""
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from mmnasfpn.models.ops.merge import global_average_pooling, global_pooling, sum_maps
from mmnasfpn.models.ops.resample import (
    halve_rounding_down,
    halve_rounding_up,
    resample,
    resample_by_size,
)


@dataclass(frozen=True)
class Variant:
    """The rules of one implementation.

    Args:
        merge_ops (Mapping[str, Callable]): The function behind each op of a genotype, called as
            :func:`global_pooling` is.
        resample (Callable): Takes a map to another level, as :func:`resample` is called.
        is_aligned (bool): Whether it keeps maps aligned with the image's origin, so that a map can come
            to a coarser level through those between, and cells upsample the coarser of two inputs.
        coarser (Callable): Makes the map of the next level where the backbone has none.
        has_coarser_convs (bool): Whether a 1x1 convolution and normalisation come before it.
        has_conv_bias (bool): Whether merging convolutions have a bias under the normalisation.
    """

    merge_ops: Mapping[str, Callable[[Tensor, Tensor, int], Tensor]]
    resample: Callable[[Tensor, int, tuple[int, int], bool | None], Tensor]
    is_aligned: bool
    coarser: Callable[[Tensor, bool | None], Tensor]
    has_coarser_convs: bool
    has_conv_bias: bool


#: ``authors``: the paper's authors' code. ``mmdet``: MMDetection's NASFPN, for weights trained with it.
VARIANTS: dict[str, Variant] = dict(
    authors=Variant(dict(sum=sum_maps, gp=global_pooling), resample, is_aligned=True,
                    coarser=halve_rounding_up, has_coarser_convs=False, has_conv_bias=False),
    mmdet=Variant(dict(sum=sum_maps, gp=global_average_pooling), resample_by_size, is_aligned=False,
                  coarser=halve_rounding_down, has_coarser_convs=True, has_conv_bias=True))


def get_variant(variant: str) -> Variant:
    """Return the rules of a name.

    Raises:
        ValueError: If there are none.
    """
    if not isinstance(variant, str) or variant not in VARIANTS:
        raise ValueError(f'variant is {variant!r}, but must be one of {", ".join(map(repr, VARIANTS))}')
    return VARIANTS[variant]
