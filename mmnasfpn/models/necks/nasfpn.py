"""NAS-FPN as a neck for any MMDetection detector."""
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmnasfpn._checks import check_mapping, check_whole_number
from mmnasfpn.genotypes import GENOTYPES, Genotype, GenotypeError, get_genotype
from mmnasfpn.models.activation_checkpointing import checkpoint_activations
from mmnasfpn.models.necks.base import AUTHORS_NORM_CFG, XAVIER_INIT_CFG, PyramidNeck, build_conv
from mmnasfpn.models.necks.pyramid_network import PyramidNetwork
from mmnasfpn.models.ops import get_variant
from mmnasfpn.registry import MODELS


@MODELS.register_module()
class NASFPN(PyramidNeck):
    """A stack of pyramid networks, each compiled from one genotype (section 3).

    Each backbone map goes through a 1x1 convolution and normalisation to ``out_channels``;
    levels coarser than the backbone's are stride-2 max pools of the level before. The pyramid
    networks follow, each taking what the one before returns. Outputs come without a ReLU.

    Images of any size work; they need no padding for the neck's sake. Inputs are left as they
    are.

    Args:
        in_channels (Sequence[int]): Channels of each map that the backbone gives, fine to
            coarse, those before ``start_level`` and after ``end_level`` included.
        out_channels (int): Channels of every map in the neck, the feature dimension.
        num_outs (int): Number of output levels; must be the genotype's.
        stack_times (int): Number of pyramid networks, the N of "N @ dimension".
        start_level (int): Index of the first backbone map that is used. Defaults to 0.
        end_level (int): Index of the last one; -1 for the last that there is. Defaults to -1.
        genotype (Genotype | Mapping | str | PathLike): The architecture: a name, plain data, a
            ``.json`` file or a genotype. Its levels are relative: its lowest is the map at
            ``start_level``. Defaults to ``'nasfpn'``, the paper's, of 5 levels.
        separable (bool): Depthwise separable convolutions throughout, as in NAS-FPNLite.
            Defaults to False.
        dropblock_cfg (Mapping | None): Arguments of :class:`DropBlock`, e.g.
            ``dict(keep_prob=0.9, block_size=3)``, which then follows each cell while training
            (section 4.4); None for none. Defaults to None.
        variant (str): Whose rules. ``'authors'``, the default, is exact to the paper's authors'
            code. ``'mmdet'`` is exact to MMDetection's NASFPN, for weights that were trained
            with it: its global pooling takes the average and swaps gate and gated, levels
            coarser than the backbone's get a 1x1 convolution before their max pool and halve
            rounding down, maps are resized by their sizes, and merging convolutions have a bias.
        with_cp (bool): Checkpoint activations: each stack runs again in the backward pass, for less
            memory and more time. Defaults to False.
        memory_efficient_pooling (bool | None): For the backward pass, max pooling keeps the positions of
            the maxima in four bytes each, and not, as PyTorch's does, in eight and the map that is
            pooled. No effect with ``variant='mmdet'``. Defaults to None: on a CPU. On a GPU, its two
            operations more for each pooling take longer.
        norm_cfg (Mapping | None): Normalisation after each convolution; None for none.
            Defaults to the authors' batch normalisation. Its momentum needs thousands of steps;
            for runs of a few hundred give ``dict(type='BN')``.
        init_cfg (Mapping | Sequence | None): MMEngine's initialisation. Defaults to
            Caffe2Xavier on every convolution.

    Raises:
        GenotypeError: If ``genotype`` is not one.
        ValueError: If the other arguments are impossible or do not fit each other.

    Example:
        >>> import torch
        >>> neck = NASFPN([256, 512, 1024, 2048], 256, num_outs=5, stack_times=7, start_level=1)
        >>> maps = [torch.rand(1, c, s, s) for c, s in zip(neck.in_channels, (32, 16, 8, 4))]
        >>> [tuple(x.shape[-2:]) for x in neck.eval()(maps)]
        [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, num_outs: int,
                 stack_times: int, start_level: int = 0, end_level: int = -1,
                 genotype: Genotype | Mapping[str, Any] | str | os.PathLike[str] = 'nasfpn',
                 separable: bool = False,
                 dropblock_cfg: Mapping[str, Any] | None = None,
                 variant: str = 'authors', with_cp: bool = False,
                 memory_efficient_pooling: bool | None = None,
                 norm_cfg: Mapping[str, Any] | None = AUTHORS_NORM_CFG,
                 init_cfg: Mapping[str, Any] | Sequence | None = XAVIER_INIT_CFG) -> None:
        super().__init__(in_channels, out_channels, num_outs, start_level, end_level, init_cfg)
        check_whole_number('stack_times', stack_times, 1)
        if dropblock_cfg is not None:
            check_mapping('dropblock_cfg', dropblock_cfg)
        self.genotype = get_genotype(genotype)
        if num_outs != self.genotype.num_levels:
            raise ValueError(
                f'num_outs is {num_outs}, but the genotype has {self.genotype.num_levels} levels '
                f'({self.genotype.min_level}..{self.genotype.max_level}): give that, or a genotype '
                f'of {num_outs} levels')
        self.stack_times = stack_times
        self.variant = variant
        self.with_cp = with_cp
        self.memory_efficient_pooling = memory_efficient_pooling
        rules = get_variant(variant)
        self._coarser = rules.coarser
        self.laterals = nn.ModuleList(
            build_conv(channels, out_channels, 1, norm_cfg, separable)
            for channels in self.in_channels[self.used_inputs])
        self.coarser_convs = nn.ModuleList(
            build_conv(out_channels, out_channels, 1, norm_cfg, separable)
            if rules.has_coarser_convs else nn.Identity()
            for _ in range(num_outs - len(self.laterals)))
        self.pyramids = nn.ModuleList(
            PyramidNetwork(self.genotype, out_channels, norm_cfg, separable, dropblock_cfg, variant,
                           memory_efficient_pooling)
            for _ in range(stack_times))
        self.register_state_dict_post_hook(_note_genotype)
        self.register_load_state_dict_pre_hook(_check_genotype)

    def check_trained_genotype(self, trained: Mapping[str, Any] | None) -> None:
        """Check that weights were trained with this genotype: those of others may have the same shapes.

        Args:
            trained (Mapping | None): The genotype that they were trained with, which ``state_dict()``
                notes in its metadata; None where that is not known.

        Raises:
            GenotypeError: If it is another one; says which.
        """
        if trained is None or get_genotype(trained) == self.genotype:
            return
        theirs, ours = _name_of(get_genotype(trained)), _name_of(self.genotype)
        raise GenotypeError(
            f'the weights were trained with {theirs}, but the neck has {ours}: make model.neck.genotype '
            'agree. To train with another genotype, begin with no more than their backbone: '
            "model.backbone.init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')")

    def forward(self, inputs: Sequence[Tensor], first: int = 0,
                last: int | None = None) -> tuple[Tensor, ...]:
        """Run all stacks, or some of them.

        Args:
            inputs (Sequence[Tensor]): The backbone's maps, fine to coarse, one per entry of
                ``in_channels``: (N, in_channels[i], H_i, W_i), each half the size of the one
                before, rounded up. Where ``first`` is above 0, the pyramid after that stack.
            first (int): The stack to go on after. Defaults to 0, from the start.
            last (int | None): The stack to stop after, counted from 1. Defaults to None, the last one.

        Returns:
            tuple[Tensor, ...]: ``num_outs`` maps, fine to coarse, (N, out_channels, H_l, W_l).

        Raises:
            ValueError: If the maps are not those that the neck was made for.
        """
        return self._run_stacks(inputs, first, last)

    def iter_pyramids(self, inputs: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the pyramid after each stack; a stack runs only when its pyramid is asked for.

        Takes what :meth:`forward` takes, and yields what it returns.
        """
        pyramid = tuple(inputs)
        for stack in range(self.stack_times):
            pyramid = self._run_stacks(pyramid, stack, stack + 1)
            yield pyramid

    def _run_stacks(self, inputs: Sequence[Tensor], first: int, last: int | None) -> tuple[Tensor, ...]:
        pyramid = tuple(inputs) if first else self._input_pyramid(inputs)
        for network in list(self.pyramids)[first:last]:
            pyramid = self._run(network, pyramid)  # those before are freed
        return pyramid

    def _run(self, module: nn.Module, x: Any) -> Any:
        return checkpoint_activations(module, x) if self.with_cp else module(x)

    def _input_pyramid(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        self.check_inputs(inputs)
        maps = [self._run(lateral, x)
                for lateral, x in zip(self.laterals, inputs[self.used_inputs], strict=True)]
        for conv in self.coarser_convs:
            # (N, C, H, W) -> (N, C, ~H/2, ~W/2)
            maps.append(self._coarser(conv(maps[-1]), self.memory_efficient_pooling))
        return tuple(maps)


def _note_genotype(neck: NASFPN, state_dict: Mapping[str, Tensor], prefix: str,
                   local_metadata: dict[str, Any]) -> None:
    """Note the genotype in the metadata of ``state_dict()``, which a checkpoint keeps."""
    local_metadata['genotype'] = neck.genotype.to_dict()


def _check_genotype(neck: NASFPN, state_dict: Mapping[str, Tensor], prefix: str,
                    local_metadata: Mapping[str, Any], *_: Any) -> None:
    """Check the genotype that was noted, before weights are loaded."""
    neck.check_trained_genotype(local_metadata.get('genotype'))


def _name_of(genotype: Genotype) -> str:
    """Return the name of a genotype, or else its first cells."""
    for name, known in GENOTYPES.items():
        if known == genotype:
            return f'the genotype {name!r}'
    cells = ', '.join(f'{cell.op} of {" and ".join(map(str, cell.inputs))} at P{cell.level}'
                      for cell in genotype.cells[:3])
    return f'a genotype of {len(genotype.cells)} cells ({cells}, ...)'
