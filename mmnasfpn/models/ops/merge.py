"""The binary operations of a merging cell (section 3.1, Figure 4), all called alike."""
import torch
from torch import Tensor


def sum_maps(coarse: Tensor, fine: Tensor, maximum: Tensor | None = None) -> Tensor:
    """Add two maps, each (N, C, H, W); ``maximum`` is not used."""
    return coarse + fine


def global_pooling(coarse: Tensor, fine: Tensor, maximum: Tensor | None = None) -> Tensor:
    """Gate the fine map by what is found anywhere in the coarse one, and add the coarse one.

    The paper removes the convolutions from the global attention of Pyramid Attention Networks
    and leaves the pooling open; its authors' code takes the maximum.

    Args:
        coarse (Tensor): The input whose own level is the higher one (the first input where
            both are of one level). Shape (N, C, H, W), already at the size of the cell.
        fine (Tensor): The other input, the same shape.
        maximum (Tensor | None): The maximum of ``coarse`` over H and W, (N, C, 1, 1), where it is known;
            the map that ``coarse`` was resized from has the same. Defaults to None.

    Returns:
        Tensor: ``coarse + fine * sigmoid(max over H and W of coarse)``, shape (N, C, H, W).
    """
    if maximum is None:
        maximum = coarse.amax(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
    return torch.addcmul(coarse, fine, maximum.sigmoid())


def global_average_pooling(coarse: Tensor, fine: Tensor, maximum: Tensor | None = None) -> Tensor:
    """Gate the coarse map by the average of the fine one, and add the fine one.

    What MMDetection's NASFPN does in place of :func:`global_pooling`: gate and gated are swapped,
    and the pool is the average; ``maximum`` is not used.

    Returns:
        Tensor: ``fine + coarse * sigmoid(mean over H and W of fine)``, shape (N, C, H, W).
    """
    gate = fine.mean(dim=(2, 3), keepdim=True).sigmoid()  # (N, C, 1, 1)
    return fine + coarse * gate
