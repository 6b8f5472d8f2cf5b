"""AmoebaNet-D (Real et al., AAAI 2019), the paper's large backbone (section 4.3)."""
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmnasfpn._checks import check_mapping, check_out_indices, check_whole_number
from mmnasfpn.models.activation_checkpointing import checkpoint_activations
from mmnasfpn.models.batch_norm import without_counter
from mmnasfpn.registry import MODELS

#: The operations of a cell, by name. ``none`` is the identity.
OPERATIONS = ('none', '1x1', '3x3', '1x7-7x1', 'max2', 'max3', 'avg3')
_BOTTLENECKS: dict[str, tuple[tuple[int, int], ...]] = {
    '3x3': ((3, 3),), '1x7-7x1': ((1, 7), (7, 1))}


@dataclass(frozen=True)
class CellTable:
    """An AmoebaNet cell as data.

    Node 0 is the cell before (after a 1x1 convolution), node 1 the one before that (brought to
    node 0's size and channels). Each pair of operations makes a node, numbered from 2 on: the sum
    of what the first makes of one earlier node and the second of another.

    Args:
        ops (Sequence[Sequence[str]]): The two operations of each pair, out of
            :data:`OPERATIONS`.
        inputs (Sequence[Sequence[int]]): The nodes that they take, one for each.
        concat (Sequence[int]): The nodes whose concatenation the cell returns.

    Raises:
        ValueError: If an operation is unknown, a node is not an earlier one, or a node goes
            nowhere; names the pair.
    """

    ops: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[int, int], ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, 'ops', tuple(map(tuple, self.ops)))
        object.__setattr__(self, 'inputs', tuple(map(tuple, self.inputs)))
        object.__setattr__(self, 'concat', tuple(self.concat))
        if not self.ops or len(self.ops) != len(self.inputs):
            raise ValueError(f'ops has {len(self.ops)} pairs and inputs {len(self.inputs)}, but both '
                             'must have as many, at least one')
        for index, (ops, inputs) in enumerate(zip(self.ops, self.inputs, strict=True)):
            if len(ops) != 2 or any(op not in OPERATIONS for op in ops):
                raise ValueError(f"ops[{index}] is {list(ops)}, but must be two of "
                                 f"{', '.join(OPERATIONS)}")
            if len(inputs) != 2 or any(node not in range(index + 2) for node in inputs):
                raise ValueError(f'inputs[{index}] is {list(inputs)}, but the pair makes node '
                                 f'{index + 2} and must take two nodes of 0..{index + 1}')
        nodes = range(len(self.ops) + 2)
        if len(set(self.concat)) != len(self.concat) or not set(self.concat) <= set(nodes):
            raise ValueError(f'concat is {list(self.concat)}, but must be different nodes of '
                             f'0..{nodes[-1]}')
        unused = set(nodes) - set(self.concat) - {n for pair in self.inputs for n in pair}
        if unused:
            raise ValueError(f'concat is {list(self.concat)}, but no pair takes the nodes '
                             f'{sorted(unused)} either: put them into concat')


#: The two cells of AmoebaNet-D.
NORMAL_CELL = CellTable(
    ops=(('1x1', 'max3'), ('none', '1x7-7x1'), ('1x1', '1x7-7x1'), ('max3', 'none'), ('avg3', '1x1')),
    inputs=((1, 1), (1, 0), (0, 0), (2, 2), (1, 5)),
    concat=(0, 3, 4, 6))
REDUCTION_CELL = CellTable(
    ops=(('max2', 'max3'), ('none', '3x3'), ('1x7-7x1', 'max3'), ('none', 'max2'), ('avg3', '1x1')),
    inputs=((0, 0), (2, 1), (2, 2), (3, 1), (2, 3)),
    concat=(4, 5, 6))


def _read_table(name: str, table: Any) -> CellTable:
    """Return a table or the table that a dict describes."""
    if isinstance(table, CellTable):
        return table
    if not isinstance(table, Mapping) or set(table) != {'ops', 'inputs', 'concat'}:
        raise ValueError(f'{name} is {table!r}, but must be a dict of ops, inputs and concat')
    return CellTable(**table)


def relu_conv_norm(in_channels: int, out_channels: int, kernel_size: int | tuple[int, int],
                   stride: int | tuple[int, int], norm_cfg: Mapping[str, Any]) -> ConvModule:
    """Build ReLU, convolution without bias, normalisation; the size is divided by the stride."""
    kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    return ConvModule(in_channels, out_channels, kernel, stride=stride,
                      padding=(kernel[0] // 2, kernel[1] // 2), bias=False,
                      norm_cfg=without_counter(norm_cfg), inplace=False, order=('act', 'conv', 'norm'))


class FactorizedReduction(BaseModule):
    """Halve a map by two 1x1 convolutions of stride 2, one a pixel down and right of the other.

    The shifted one makes half of the channels, rounded down.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: Mapping[str, Any]) -> None:
        super().__init__()
        shifted = out_channels // 2
        self.conv = nn.Conv2d(in_channels, out_channels - shifted, 1, stride=2, bias=False)
        self.shifted_conv = nn.Conv2d(in_channels, shifted, 1, stride=2, bias=False)
        _, self.norm = build_norm_layer(without_counter(norm_cfg), out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, in_channels, H, W) to (N, out_channels, ceil(H / 2), ceil(W / 2))."""
        x = F.relu(x)
        shifted = F.pad(x, (0, 1, 0, 1))[..., 1:, 1:]
        return self.norm(torch.cat([self.conv(x), self.shifted_conv(shifted)], dim=1))


class Operation(BaseModule):
    """One of the :data:`OPERATIONS` of a cell, of stride 1 or 2.

    ``'3x3'`` and ``'1x7-7x1'`` work on a quarter of the channels, between two 1x1 convolutions;
    ``'none'`` of stride 2 is a 1x1 convolution. While training, an image's result is dropped with the
    probability ``drop_prob``; that of ``'none'`` never.
    """

    def __init__(self, op: str, channels: int, stride: int, norm_cfg: Mapping[str, Any],
                 drop_prob: float) -> None:
        super().__init__()
        self.op = op
        self.stride = stride
        self.convs = nn.Sequential()
        if op in _BOTTLENECKS:
            inner = channels // 4
            self.convs.append(relu_conv_norm(channels, inner, 1, 1, norm_cfg))
            for kernel in _BOTTLENECKS[op]:
                # A kernel of one row takes no step down: each direction is strided once.
                rows, columns = (stride if size > 1 else 1 for size in kernel)
                self.convs.append(relu_conv_norm(inner, inner, kernel, (rows, columns), norm_cfg))
            self.convs.append(relu_conv_norm(inner, channels, 1, 1, norm_cfg))
        elif op == '1x1' or (op == 'none' and stride > 1):
            self.convs.append(relu_conv_norm(channels, channels, 1, stride, norm_cfg))
        self.drop_path = DropPath(drop_prob) if drop_prob > 0 and op != 'none' else None

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        if self.op == 'max2':  # aligned with the top left, as the padding of TensorFlow
            x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float('-inf')), 2, self.stride)
        elif self.op == 'max3':
            x = F.max_pool2d(x, 3, self.stride, padding=1)
        elif self.op == 'avg3':
            x = F.avg_pool2d(x, 3, self.stride, padding=1, count_include_pad=False)
        x = self.convs(x)
        return x if self.drop_path is None else self.drop_path(x)


class AmoebaCell(BaseModule):
    """A cell compiled from its table, of ``channels`` for every node.

    Its stride is 2 for a reduction cell, else 1; only operations on nodes 0 and 1 take it.
    ``reduce_prev`` says that the cell before last (of ``prev_channels``) is twice the size of the last.
    """

    def __init__(self, table: CellTable, in_channels: int, prev_channels: int, channels: int,
                 stride: int, reduce_prev: bool, norm_cfg: Mapping[str, Any], drop_prob: float) -> None:
        super().__init__()
        self.table = table
        self.out_channels = len(table.concat) * channels
        self.conv = relu_conv_norm(in_channels, channels, 1, 1, norm_cfg)
        self.prev_conv: nn.Module = nn.Identity()
        if reduce_prev:
            self.prev_conv = FactorizedReduction(prev_channels, channels, norm_cfg)
        elif prev_channels != channels:
            self.prev_conv = relu_conv_norm(prev_channels, channels, 1, 1, norm_cfg)
        self.ops = nn.ModuleList(
            Operation(op, channels, stride if node < 2 else 1, norm_cfg, drop_prob)
            for ops, inputs in zip(table.ops, table.inputs, strict=True)
            for op, node in zip(ops, inputs, strict=True))
        # Nodes 0 and 1 of a reduction cell are too large to be concatenated as they are.
        self.reductions = nn.ModuleDict({
            str(node): FactorizedReduction(channels, channels, norm_cfg)
            for node in table.concat if node < 2 and stride > 1})

    def forward(self, x: Tensor, prev: Tensor) -> Tensor:
        """Take the maps of the cell before, (N, in_channels, H, W), and of the one before that."""
        nodes = [self.conv(x), self.prev_conv(prev)]
        ops = iter(self.ops)
        for first, second in self.table.inputs:
            nodes.append(next(ops)(nodes[first]) + next(ops)(nodes[second]))
        return torch.cat([
            self.reductions[str(node)](nodes[node]) if str(node) in self.reductions else nodes[node]
            for node in self.table.concat], dim=1)  # (N, out_channels, ~H/stride, ~W/stride)


def _build_stages(widths: Sequence[Sequence[int]], normal: CellTable, reduction: CellTable,
                  stem_channels: int, norm_cfg: Mapping[str, Any],
                  drop_probs: Iterator[float]) -> list[list[AmoebaCell]]:
    """Build stages of cells of these widths; the first cell of each stage is a reduction cell."""
    stages = []
    channels, prev_channels, prev_is_larger = stem_channels, stem_channels, False
    for stage in widths:
        cells = []
        for index, width in enumerate(stage):
            table, stride = (normal, 1) if index else (reduction, 2)
            cells.append(AmoebaCell(table, channels, prev_channels, width, stride, prev_is_larger,
                                    norm_cfg, next(drop_probs)))
            channels, prev_channels, prev_is_larger = cells[-1].out_channels, channels, stride == 2
        stages.append(cells)
    return stages


@MODELS.register_module()
class AmoebaNet(BaseModule):
    """AmoebaNet: a stem, then groups of normal cells with reduction cells between them.

    A 3x3 convolution of stride 2; reduction cells of ``filters / 4`` (C2) and ``filters / 2``
    channels; three groups of ``num_cells / 3`` normal cells (C3 to C5) of ``filters``, twice and
    four times as many, with a reduction cell before the second and the third. The maps are
    returned after ReLU, which each of their consumers in the network begins with.

    The paper does not say which size of AmoebaNet-D it used; the defaults come closest to its
    FLOPs.

    Args:
        num_cells (int): Number of normal cells, a multiple of 3. Defaults to 15.
        filters (int): Channels of a node in the first group, a multiple of 16. Defaults to 256.
        stem_channels (int): Channels of the first convolution. Defaults to 32.
        normal_cell (CellTable | Mapping): Table of the normal cell, or a dict of its arguments.
            Defaults to that of AmoebaNet-D.
        reduction_cell (CellTable | Mapping): Table of the reduction cell. Likewise.
        out_indices (Sequence[int]): Maps to return: 0 to 3 for C2 to C5. Defaults to all. What
            lies behind the last of them is not built.
        frozen_stages (int): -1 freezes nothing, 0 the first convolution, k > 0 all up to C(k+1).
            Defaults to -1.
        norm_cfg (Mapping): Normalisation. Defaults to ``dict(type='BN')``.
        norm_eval (bool): Keep all BN layers in evaluation mode. Defaults to False.
        with_cp (bool): Checkpoint activations: cells run again in the backward pass, for less memory.
            Defaults to False.
        drop_path_prob (float): Probability, in [0, 1), of dropping an operation's result in the
            last cell; it grows linearly with depth. Defaults to 0.
        init_cfg (dict | Sequence | None): MMEngine's initialisation. Defaults to Kaiming for
            convolutions.

    Attributes:
        out_channels (tuple[int, ...]): Channels of the maps that are returned.

    Raises:
        ValueError: If an argument is impossible.

    Example:
        >>> backbone = AmoebaNet(num_cells=3, filters=16).eval()
        >>> [tuple(x.shape[1:]) for x in backbone(torch.rand(1, 3, 65, 96))]
        [(12, 17, 24), (64, 9, 12), (128, 5, 6), (256, 3, 3)]
    """

    def __init__(self, num_cells: int = 15, filters: int = 256, stem_channels: int = 32,
                 normal_cell: CellTable | Mapping[str, Any] = NORMAL_CELL,
                 reduction_cell: CellTable | Mapping[str, Any] = REDUCTION_CELL,
                 out_indices: Sequence[int] = (0, 1, 2, 3), frozen_stages: int = -1,
                 norm_cfg: Mapping[str, Any] = MappingProxyType(dict(type='BN')),
                 norm_eval: bool = False, with_cp: bool = False, drop_path_prob: float = 0.0,
                 init_cfg: Mapping[str, Any] | Sequence | None = MappingProxyType(
                     dict(type='Kaiming', layer='Conv2d'))) -> None:
        super().__init__(dict(init_cfg) if isinstance(init_cfg, Mapping) else init_cfg)
        for name, value, multiple in (('num_cells', num_cells, 3), ('filters', filters, 16),
                                      ('stem_channels', stem_channels, 1)):
            check_whole_number(name, value, multiple)
            if value % multiple:
                raise ValueError(f'{name} is {value}, but must be a multiple of {multiple}')
        check_out_indices(out_indices, 3, 'they stand for C2 to C5')
        check_mapping('norm_cfg', norm_cfg)
        if frozen_stages not in range(-1, 5):
            raise ValueError(f'frozen_stages is {frozen_stages!r}, but must be one of -1..4')
        if not isinstance(drop_path_prob, int | float) or not 0 <= drop_path_prob < 1:
            raise ValueError(f'drop_path_prob is {drop_path_prob!r}, but must be in [0, 1)')
        self.out_indices = tuple(map(int, out_indices))
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.stem = ConvModule(3, stem_channels, 3, stride=2, padding=1, bias=False,
                               norm_cfg=dict(norm_cfg), act_cfg=None)
        normal = _read_table('normal_cell', normal_cell)
        reduction = _read_table('reduction_cell', reduction_cell)
        group = num_cells // 3
        widths = [[filters // 4], [filters // 2, *[filters] * group],
                  [filters * 2] * (group + 1), [filters * 4] * (group + 1)]
        drop_probs = (drop_path_prob * depth / (num_cells + 4) for depth in count(1))
        stages = _build_stages(widths[:max(self.out_indices) + 1], normal, reduction, stem_channels,
                               norm_cfg, drop_probs)
        self.out_channels = tuple(stages[index][-1].out_channels for index in self.out_indices)
        self.stages = nn.ModuleList(map(nn.ModuleList, stages))
        self._freeze_stages()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run the backbone.

        Args:
            x (Tensor): Images, (N, 3, H, W), of any size.

        Returns:
            tuple[Tensor, ...]: The maps of ``out_indices``, fine to coarse; the map of C(l) has
                the shape (N, C, ceil(H / 2**l), ceil(W / 2**l)).
        """
        prev = x = self.stem(x)  # (N, stem_channels, ceil(H / 2), ceil(W / 2))
        maps = []
        for index, stage in enumerate(self.stages):
            for cell in stage.children():
                # What is frozen keeps nothing for the backward pass anyway.
                with_cp = self.with_cp and index >= self.frozen_stages
                x, prev = (checkpoint_activations(cell, x, prev) if with_cp else cell(x, prev)), x
            if index in self.out_indices:
                maps.append(F.relu(x))
        return tuple(maps)

    def train(self, mode: bool = True) -> 'AmoebaNet':
        """Set the mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze_stages(self) -> None:
        for part in (self.stem, *self.stages)[:self.frozen_stages + 1]:
            part.eval()
            for parameter in part.parameters():
                parameter.requires_grad = False
