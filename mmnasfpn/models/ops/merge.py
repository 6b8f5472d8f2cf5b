"""The binary operations of a merging cell (section 3.1, Figure 4)."""
from collections.abc import Callable

from torch import Tensor


def sum_maps(first: Tensor, second: Tensor) -> Tensor:
    """Add two maps.

    Args:
        first (Tensor): Shape (N, C, H, W), already at the size of the cell.
        second (Tensor): The same shape.

    Returns:
        Tensor: ``first + second``, shape (N, C, H, W).
    """
    return first + second


def global_pooling(coarse: Tensor, fine: Tensor) -> Tensor:
    """Gate the fine map by what is found anywhere in the coarse one, and add the coarse one.

    The paper removes the convolutions from the global attention of Pyramid Attention Networks
    and leaves the pooling open; its authors' code takes the maximum.

    Args:
        coarse (Tensor): The input whose own level is the higher one (the first input where
            both are of one level). Shape (N, C, H, W), already at the size of the cell.
        fine (Tensor): The other input, the same shape.

    Returns:
        Tensor: ``coarse + fine * sigmoid(max over H and W of coarse)``, shape (N, C, H, W).
    """
    gate = coarse.amax(dim=(2, 3), keepdim=True).sigmoid()  # (N, C, 1, 1)
    return coarse + fine * gate


#: The function behind each op of a genotype. Called as ``op(coarse, fine)``.
MERGE_OPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = dict(sum=sum_maps, gp=global_pooling)
