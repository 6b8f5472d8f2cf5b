"""One neck that holds the weights of all pyramids of a search space: a supernet."""
import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mmcv.cnn import DepthwiseSeparableConvModule
from torch import Tensor, nn

from mmnasfpn.genotypes import Genotype, get_genotype
from mmnasfpn.models.necks.base import AUTHORS_NORM_CFG, build_conv
from mmnasfpn.models.necks.nasfpn import NASFPN
from mmnasfpn.models.necks.pyramid_network import PyramidNetwork
from mmnasfpn.models.ops import get_variant
from mmnasfpn.registry import MODELS


@MODELS.register_module()
class SuperNASFPN(NASFPN):
    """A stack of pyramid networks whose genotype can be changed, all of the same weights.

    A merging cell's convolution has the same shape whatever the cell's inputs, level and op. So each
    stack has one for each of its cells, which serves every choice (single-path one-shot search,
    `Guo et al., 2020 <https://arxiv.org/abs/1904.00420>`_); each level that the cell may have gets a
    normalisation of its own. Laterals are those of :class:`NASFPN`.

    Args:
        *args: As for :class:`NASFPN`.
        cell_levels (Sequence[Sequence[int]]): The levels that each cell may have, as
            ``SearchSpace.levels_of`` gives them.
        **kwargs: As for :class:`NASFPN`, without ``dropblock_cfg``. ``genotype`` is the one that is run
            at first.

    Raises:
        GenotypeError: If ``genotype`` is not one.
        ValueError: If the arguments are impossible or do not fit each other.
    """

    def __init__(self, *args: Any, cell_levels: Sequence[Sequence[int]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kwargs.get('dropblock_cfg') is not None:
            raise ValueError('a supernet takes no dropblock_cfg: no pyramid has its weights to itself')
        self.cell_levels = tuple(map(tuple, cell_levels))
        separable = kwargs.get('separable', False)
        conv_options = dict(norm_cfg=kwargs.get('norm_cfg', AUTHORS_NORM_CFG), separable=separable,
                            bias_under_norm=get_variant(self.variant).has_conv_bias)
        # By stack and cell.
        self.convs = nn.ModuleList(
            nn.ModuleList(_SharedConv(self.out_channels, levels, conv_options)
                          for levels in self.cell_levels)
            for _ in range(self.stack_times))
        del self.pyramids  # whose convolutions serve one genotype
        self.set_genotype(self.genotype)

    def check_trained_genotype(self, trained: Mapping[str, Any] | None) -> None:
        """Take weights whatever pyramid was run last: they are those of all."""

    def set_genotype(self, genotype: Genotype | Mapping[str, Any] | str) -> None:
        """Run this pyramid from now on, of the levels of the space.

        Raises:
            GenotypeError: If it is none.
            ValueError: If it is not in the space.
        """
        genotype = get_genotype(genotype)
        self._check(genotype)
        for convs in self.convs:
            for cell, conv in zip(genotype.cells, _list(convs), strict=True):
                conv.level = cell.level
        self.genotype = genotype
        self.pyramids: Any = [  # a list: no modules of this one
            PyramidNetwork(genotype, self.out_channels, norm_cfg=None, variant=self.variant,
                           memory_efficient_pooling=self.memory_efficient_pooling, convs=_list(convs))
            for convs in self.convs]
        self.train(self.training)

    def copy_weights_to(self, neck: NASFPN) -> None:
        """Give a plain neck the weights that its pyramid has here.

        Args:
            neck (NASFPN): A neck of the same arguments and of a genotype of the space.

        Raises:
            ValueError: If its genotype is not in the space.
        """
        self._check(neck.genotype)
        neck.laterals.load_state_dict(self.laterals.state_dict())
        neck.coarser_convs.load_state_dict(self.coarser_convs.state_dict())
        for network, convs in zip(_list(neck.pyramids), self.convs, strict=True):
            for cell, shared in zip(_list(network.cells), _list(convs), strict=True):
                conv, norm = _split(cell.conv)
                conv.load_state_dict(shared.conv.state_dict())
                norm.load_state_dict(shared.norms[str(cell.level)].state_dict())

    def train(self, mode: bool = True) -> 'SuperNASFPN':
        """Set the mode, that of what is no module of its own too."""
        super().train(mode)
        for network in self.pyramids:
            network.train(mode)
        return self

    def _check(self, genotype: Genotype) -> None:
        levels = [cell.level for cell in genotype.cells]
        if (len(levels) != len(self.cell_levels) or genotype.num_levels != self.num_outs
                or any(level not in own for level, own in zip(levels, self.cell_levels, strict=True))):
            raise ValueError(f'the genotype has cells of the levels {levels} and a pyramid of '
                             f'{genotype.num_levels}, but the supernet has {self.num_outs} levels and '
                             f'cells of {list(map(list, self.cell_levels))}: take a genotype of its '
                             'space')


class _SharedConv(nn.Module):
    """The convolution of a cell, whatever it merges, with a normalisation for each of its levels."""

    def __init__(self, channels: int, levels: Sequence[int], options: Mapping[str, Any]) -> None:
        super().__init__()
        self.conv, norm = _split(build_conv(channels, channels, 3, **options))
        self.norms = nn.ModuleDict({str(level): copy.deepcopy(norm) for level in levels})
        self.level = levels[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.norms[str(self.level)](self.conv(x))


def _list(modules: Any) -> list[Any]:
    return list(modules)


def _split(conv: Any) -> tuple[nn.Module, nn.Module]:
    """Return the convolution of a cell, and its normalisation."""
    if isinstance(conv, DepthwiseSeparableConvModule):
        last = conv.pointwise_conv
        return nn.Sequential(conv.depthwise_conv.conv, last.conv), last.norm or nn.Identity()
    return conv.conv, conv.norm or nn.Identity()
