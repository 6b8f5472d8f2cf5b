"""One pyramid network, compiled from a genotype (section 3.1)."""
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmnasfpn.genotypes import Genotype, get_genotype
from mmnasfpn.models.necks.merging_cell import MergingCellModule
from mmnasfpn.models.necks.schedule import schedule
from mmnasfpn.models.ops import get_variant
from mmnasfpn.registry import MODELS


@MODELS.register_module()
class PyramidNetwork(BaseModule):
    """Merging cells from a pyramid to a pyramid of the same levels.

    The arguments are those of :class:`mmnasfpn.models.necks.NASFPN`.

    Args:
        channels (int): Channels of every map, the feature dimension.
        convs (Sequence[nn.Module] | None): The convolution of each cell, shared with other networks.
            Defaults to None: the cells have their own.

    Raises:
        GenotypeError: If ``genotype`` is not one.
    """

    def __init__(self, genotype: Genotype | Mapping[str, Any] | str | os.PathLike[str],
                 channels: int, norm_cfg: Mapping[str, Any] | None, separable: bool = False,
                 dropblock_cfg: Mapping[str, Any] | None = None, variant: str = 'authors',
                 memory_efficient_pooling: bool | None = None,
                 convs: Sequence[nn.Module] | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.genotype = get_genotype(genotype)
        rules = get_variant(variant)
        self._resample = rules.resample
        self.memory_efficient_pooling = memory_efficient_pooling
        self._steps = schedule(self.genotype, rules.is_aligned)
        no_convs: list[nn.Module | None] = [None] * len(self.genotype.cells)
        self.cells = nn.ModuleList(
            MergingCellModule(cell.level, cell.op,
                              [self.genotype.node_levels[node] for node in cell.inputs],
                              channels, norm_cfg, separable, dropblock_cfg, variant, conv)
            for cell, conv in zip(self.genotype.cells, convs or no_convs, strict=True))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run the cells.

        Args:
            inputs (Sequence[Tensor]): One map per level, fine to coarse, (N, C, H_l, W_l), each
                half the size of the one before, rounded up. Left as they are.

        Returns:
            tuple[Tensor, ...]: One map per level, fine to coarse, the shapes of ``inputs``.
        """
        sizes = {level: (x.shape[-2], x.shape[-1])
                 for level, x in zip(self.genotype.levels, inputs, strict=True)}
        # By node and level: each node at its own level and at those that it was resized to.
        maps = {(node, level): x
                for node, (level, x) in enumerate(zip(self.genotype.levels, inputs, strict=True))}
        for index, (cell, module, step) in enumerate(
                zip(self.genotype.cells, self.cells, self._steps, strict=True)):
            for node, source, level in step.resizes:
                maps[node, level] = self._resample(
                    maps[node, source], level - source, sizes[level], self.memory_efficient_pooling)
            maps[len(inputs) + index, cell.level] = module(
                [maps[taken] for taken in step.inputs],
                [maps[node, cell.level] for node in self.genotype.loose_ends[index]])
            for taken in step.last_uses:
                del maps[taken]
        return tuple(maps[node, level] for level, node in self.genotype.output_nodes.items())
