"""One pyramid network, compiled from a genotype (section 3.1)."""
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmnasfpn.genotypes import Genotype, get_genotype
from mmnasfpn.models.necks.merging_cell import MergingCellModule
from mmnasfpn.registry import MODELS


@MODELS.register_module()
class PyramidNetwork(BaseModule):
    """Merging cells from a pyramid to a pyramid of the same levels.

    Args:
        genotype (Genotype | Mapping | str | PathLike): What to compile; see
            :func:`mmnasfpn.genotypes.get_genotype`.
        channels (int): Channels of every map, the feature dimension.
        norm_cfg (Mapping | None): Normalisation after each convolution; None for none.
        separable (bool): Whether the convolutions are depthwise separable. Defaults to False.
        dropblock_cfg (Mapping | None): Arguments of :class:`DropBlock`; None for none.
        variant (str): Whose rules: ``'authors'`` or ``'mmdet'``. Defaults to ``'authors'``.
        init_cfg (dict | None): MMEngine's initialisation. Defaults to None.

    Raises:
        GenotypeError: If ``genotype`` is not one.
    """

    def __init__(self, genotype: Genotype | Mapping[str, Any] | str | os.PathLike[str],
                 channels: int, norm_cfg: Mapping[str, Any] | None, separable: bool = False,
                 dropblock_cfg: Mapping[str, Any] | None = None, variant: str = 'authors',
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.genotype = get_genotype(genotype)
        self.cells = nn.ModuleList(
            MergingCellModule(cell.level, cell.op,
                              [self.genotype.node_levels[node] for node in cell.inputs],
                              channels, norm_cfg, separable, dropblock_cfg, variant)
            for cell in self.genotype.cells)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run the cells.

        Args:
            inputs (Sequence[Tensor]): One map per level, fine to coarse, (N, C, H_l, W_l), each
                half the size of the one before, rounded up. Left as they are.

        Returns:
            tuple[Tensor, ...]: One map per level, fine to coarse, the shapes of ``inputs``.
        """
        sizes = {level: x.shape[-2:]
                 for level, x in zip(self.genotype.levels, inputs, strict=True)}
        nodes = list(inputs)
        for cell, loose_ends, module in zip(self.genotype.cells, self.genotype.loose_ends,
                                            self.cells, strict=True):
            nodes.append(module([nodes[node] for node in cell.inputs],
                                [nodes[node] for node in loose_ends], sizes[cell.level]))
        return tuple(nodes[node] for node in self.genotype.output_nodes.values())
