"""The backbones: counts worked out by hand, an independent reference, any size, frozen parts."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.backbones import MobileNetV2 as MMDetMobileNetV2
from torch.nn.modules.batchnorm import _BatchNorm

from mmnasfpn._checks import check_out_indices
from mmnasfpn.models.activation_checkpointing import checkpoint_activations
from mmnasfpn.models.backbones import AmoebaNet, MobileNetV2, ResNet10, amoebanet
from mmnasfpn.models.backbones.amoebanet import NORMAL_CELL, REDUCTION_CELL, AmoebaCell, Operation
from tests.test_models.test_nasfpn import randomize

BN = dict(type='BN')
#: The cells of AmoebaNet-D as the authors' code gives them: operations, inputs, concatenated nodes.
NORMAL = ('1x1, max3 | none, 1x7-7x1 | 1x1, 1x7-7x1 | max3, none | avg3, 1x1',
          '1,1 | 1,0 | 0,0 | 2,2 | 1,5', '0, 3, 4, 6')
REDUCTION = ('max2, max3 | none, 3x3 | 1x7-7x1, max3 | none, max2 | avg3, 1x1',
             '0,0 | 2,1 | 2,2 | 3,1 | 2,3', '4, 5, 6')


def count(module):
    return sum(p.numel() for p in module.parameters())


class ReferenceCell:
    """An AmoebaNet cell in evaluation that takes weights in the order in which it needs them."""

    def __init__(self, written, cell, stride, reduce_prev):
        self.ops, self.inputs = ([[x.strip() for x in pair.split(',')] for pair in part.split('|')]
                                 for part in written[:2])
        self.concat = [int(node) for node in written[2].split(',')]
        self.cell, self.stride, self.reduce_prev = cell, stride, reduce_prev

    def conv_norm(self, x, conv, norm, stride=(1, 1)):
        rows, columns = conv.weight.shape[2:]
        x = F.conv2d(F.pad(x, (columns // 2, columns // 2, rows // 2, rows // 2)), conv.weight)
        x = x[..., ::stride[0], ::stride[1]]
        mean, var, gamma, beta = (v[None, :, None, None] for v in (
            norm.running_mean, norm.running_var, norm.weight, norm.bias))
        return (x - mean) / (var + norm.eps).sqrt() * gamma + beta

    def relu_conv_norm(self, x, module, stride=(1, 1)):
        return self.conv_norm(x.relu(), module.conv, module.bn, stride)

    def factorized(self, x, module):
        x = x.relu()
        shifted = F.pad(x, (0, 1, 0, 1))[..., 1::2, 1::2]
        first, second = (F.conv2d(y, conv.weight) for y, conv in (
            (x[..., ::2, ::2], module.conv), (shifted, module.shifted_conv)))
        n = module.norm
        x = torch.cat([first, second], 1)
        return F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps)

    def pool(self, x, op, stride):
        """Take the largest or the mean of each window, pixel by pixel."""
        height, width = x.shape[2:]
        before, after = {'max2': (0, 1), 'max3': (1, 1), 'avg3': (1, 1)}[op]
        out = []
        for i in range(0, height, stride):
            row = []
            for j in range(0, width, stride):
                window = x[..., max(0, i - before):i + after + 1, max(0, j - before):j + after + 1]
                row.append(window.mean((2, 3)) if op == 'avg3' else window.amax((2, 3)))
            out.append(torch.stack(row, -1))
        return torch.stack(out, -2)

    def operation(self, x, op, module, stride):
        convs = list(module.convs)
        if op in ('max2', 'max3', 'avg3'):
            return self.pool(x, op, stride)
        if op == 'none':
            return x if stride == 1 else self.relu_conv_norm(x, convs[0], (stride, stride))
        strides = {'1x1': [(stride, stride)], '3x3': [(1, 1), (stride, stride), (1, 1)],
                   '1x7-7x1': [(1, 1), (1, stride), (stride, 1), (1, 1)]}[op]
        for conv, step in zip(convs, strides, strict=True):
            x = self.relu_conv_norm(x, conv, step)
        return x

    def __call__(self, x, prev):
        cell = self.cell
        nodes = [self.relu_conv_norm(x, cell.conv)]
        nodes.append(self.factorized(prev, cell.prev_conv) if self.reduce_prev
                     else prev if prev.shape[1] == 16 else self.relu_conv_norm(prev, cell.prev_conv))
        modules = iter(cell.ops)
        for ops, inputs in zip(self.ops, self.inputs, strict=True):
            nodes.append(sum(
                self.operation(nodes[int(node)], op, next(modules), self.stride if int(node) < 2 else 1)
                for op, node in zip(ops, inputs, strict=True)))
        return torch.cat([nodes[node] for node in self.concat], 1)


@pytest.mark.parametrize('size', [(8, 8), (7, 5), (1, 3)])
@pytest.mark.parametrize(('table', 'written', 'stride'), [
    (NORMAL_CELL, NORMAL, 1), (REDUCTION_CELL, REDUCTION, 2)], ids=['normal', 'reduction'])
@pytest.mark.parametrize('prev_channels', [5, 16])
@pytest.mark.parametrize('reduce_prev', [False, True])
def test_amoebanet_cell_equals_the_reference(table, written, stride, reduce_prev, prev_channels, size):
    torch.manual_seed(0)
    cell = AmoebaCell(table, 6, prev_channels, 16, stride, reduce_prev, BN, 0.0)
    cell = randomize(cell).double().eval()
    prev_size = [2 * s - 1 for s in size] if reduce_prev else size
    x, prev = torch.randn(2, 6, *size).double(), torch.randn(2, prev_channels, *prev_size).double()
    with torch.no_grad():
        out, expected = cell(x, prev), ReferenceCell(written, cell, stride, reduce_prev)(x, prev)
    assert out.shape == (2, len(table.concat) * 16, *(-(-s // stride) for s in size))
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(('op', 'stride', 'params'), [
    ('none', 1, 0), ('max2', 2, 0), ('max3', 1, 0), ('avg3', 1, 0),
    ('none', 2, 16 * 16 + 2 * 16),  # a strided 1x1 convolution and its BN
    ('1x1', 1, 16 * 16 + 2 * 16),
    # Down to 4 channels, 3x3 on those, back to 16, each with its BN.
    ('3x3', 1, (16 * 4 + 2 * 4) + (9 * 4 * 4 + 2 * 4) + (4 * 16 + 2 * 16)),
    ('1x7-7x1', 1, (16 * 4 + 2 * 4) + 2 * (7 * 4 * 4 + 2 * 4) + (4 * 16 + 2 * 16)),
])
def test_operation_has_the_parameters_counted_by_hand(op, stride, params):
    assert count(Operation(op, 16, stride, BN, 0.0)) == params


def test_amoebanet_has_the_parameters_counted_by_hand():
    # An operation of F filters: 1x1 F*F + 2F; 3x3 F*F/2 + 9/16*F*F + 3F; 1x7-7x1 F*F/2 + 14/16*F*F + 4F
    # (counted above for F = 16: 288, 320, 408). For 8 and so on by the same sum.
    one = {4: 4 * 4 + 8, 8: 8 * 8 + 16, 16: 288, 32: 32 * 32 + 64, 64: 64 * 64 + 128}
    three = {f: f * f // 4 + f // 2 + 9 * (f // 4)**2 + f // 2 + f * f // 4 + 2 * f for f in one}
    seven = {f: f * f // 4 + f // 2 + 2 * (7 * (f // 4)**2 + f // 2) + f * f // 4 + 2 * f for f in one}
    assert (three[16], seven[16]) == (320, 408)

    def entry(channels, f):  # a 1x1 convolution (or two halves of one) from so many channels, and BN
        return channels * f + 2 * f

    def normal(x, prev, f):
        return entry(x, f) + entry(prev, f) + 3 * one[f] + 2 * seven[f]

    def reduction(x, prev, f):
        return entry(x, f) + entry(prev, f) + one[f] + three[f] + seven[f]

    stem = 3 * 32 * 9 + 2 * 32
    stem_cells = reduction(32, 32, 4) + reduction(3 * 4, 32, 8)
    # Channels out: 3 nodes of a reduction cell, 4 of a normal one.
    group_1 = normal(3 * 8, 3 * 4, 16)
    group_2 = reduction(4 * 16, 3 * 8, 32) + normal(3 * 32, 4 * 16, 32)
    group_3 = reduction(4 * 32, 3 * 32, 64) + normal(3 * 64, 4 * 32, 64)
    backbone = AmoebaNet(num_cells=3, filters=16)
    assert count(backbone.stem) == stem
    assert [count(stage) for stage in backbone.stages] == [
        reduction(32, 32, 4), reduction(3 * 4, 32, 8) + group_1, group_2, group_3]
    assert count(backbone) == stem + stem_cells + group_1 + group_2 + group_3


@pytest.mark.parametrize('size', [(64, 64), (65, 33), (50, 71), (1, 1), (37, 128)])
def test_amoebanet_takes_any_size(size):
    backbone = AmoebaNet(num_cells=3, filters=16).eval()
    maps = backbone(torch.rand(1, 3, *size))
    assert [x.shape[1] for x in maps] == list(backbone.out_channels) == [12, 64, 128, 256]
    for level, x in enumerate(maps, 2):
        assert x.shape[2:] == tuple(-(-s // 2**level) for s in size)
        assert (x >= 0).all()


@pytest.mark.parametrize('with_cp', [False, True])
def test_every_parameter_of_amoebanet_gets_a_gradient(with_cp):
    without = None
    for seed in range(4):  # ReLU can stop all channels of a narrow layer by chance
        torch.manual_seed(seed)
        backbone = AmoebaNet(num_cells=6, filters=16, with_cp=with_cp).train()
        sum((x * torch.randn_like(x)).sum() for x in backbone(torch.rand(2, 3, 97, 66))).backward()
        now = {name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.any()}
        without = now if without is None else without & now
        if not without:
            break
    assert not without


def test_recomputing_changes_neither_maps_nor_gradients_of_amoebanet():
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = AmoebaNet(num_cells=3, filters=16, with_cp=with_cp, drop_path_prob=0.3).train()
        maps = backbone(torch.rand(2, 3, 64, 64))
        sum(x.square().sum() for x in maps).backward()
        results.append([*maps, *(p.grad for p in backbone.parameters())])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('frozen', 'recomputed'), [(-1, 7), (0, 7), (1, 6), (2, 4)])
def test_every_cell_that_learns_is_recomputed(frozen, recomputed, monkeypatch):
    calls = []
    monkeypatch.setattr(amoebanet, 'checkpoint_activations', lambda cell, *args: (
        calls.append(cell), checkpoint_activations(cell, *args))[1])
    backbone = AmoebaNet(num_cells=3, filters=16, with_cp=True, frozen_stages=frozen).train()
    sum(x.sum() for x in backbone(torch.rand(2, 3, 64, 64))).backward()
    assert len(calls) == recomputed
    assert all(p.grad is not None for p in backbone.parameters() if p.requires_grad)


def test_amoebanet_builds_nothing_behind_the_last_map():
    backbone = AmoebaNet(num_cells=3, filters=16, out_indices=(1, 2))
    assert len(backbone.stages) == 3
    assert [x.shape[1] for x in backbone(torch.rand(2, 3, 64, 64))] == [64, 128]


@pytest.mark.parametrize('frozen', [-1, 0, 2, 4])
def test_frozen_stages_of_amoebanet_neither_learn_nor_count_statistics(frozen):
    backbone = AmoebaNet(num_cells=3, filters=16, frozen_stages=frozen)
    assert backbone.train() is backbone
    parts = [backbone.stem, *backbone.stages]
    for index, part in enumerate(parts):
        is_frozen = index <= frozen
        assert part.training is not is_frozen
        assert all(p.requires_grad is not is_frozen for p in part.parameters())


def test_norm_eval_of_amoebanet_keeps_all_statistics():
    backbone = AmoebaNet(num_cells=3, filters=16, norm_eval=True).train()
    assert backbone.training
    assert not any(m.training for m in backbone.modules() if isinstance(m, _BatchNorm))


def test_drop_path_of_amoebanet_grows_with_depth_and_spares_identities():
    backbone = AmoebaNet(num_cells=3, filters=16, drop_path_prob=0.7).train()
    cells = [cell for stage in backbone.stages for cell in stage]
    assert len(cells) == 7
    for depth, cell in enumerate(cells, 1):
        for op in cell.ops:
            if op.op == 'none':
                assert op.drop_path is None
            else:
                assert op.drop_path.drop_prob == pytest.approx(0.7 * depth / 7)
    x = torch.rand(64, 3, 32, 32)
    torch.manual_seed(0)
    dropped = backbone(x)[-1]
    backbone.eval()
    torch.testing.assert_close(backbone(x), backbone(x))
    assert not torch.allclose(dropped, backbone(x)[-1])


def test_amoebanet_takes_cells_of_ones_own_whose_leftovers_are_too_large():
    table = dict(ops=[('3x3', 'none'), ('1x7-7x1', 'avg3')], inputs=[(0, 1), (1, 2)],
                 concat=[0, 1, 3])
    backbone = AmoebaNet(num_cells=3, filters=16, normal_cell=table, reduction_cell=table).train()
    maps = backbone(torch.rand(2, 3, 70, 45))
    assert [x.shape[1:] for x in maps] == [(12, 18, 12), (48, 9, 6), (96, 5, 3), (192, 3, 2)]
    sum(x.square().sum() for x in maps).backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize(('kwargs', 'words'), [
    (dict(num_cells=4), 'num_cells is 4.*multiple of 3'),
    (dict(num_cells=0), 'num_cells is 0'),
    (dict(filters=24), 'filters is 24.*multiple of 16'),
    (dict(out_indices=(4,)), r'out_indices is \(4,\)'),
    (dict(drop_path_prob='a'), "drop_path_prob is 'a'"),
    (dict(norm_cfg=None), 'norm_cfg is None'),
    (dict(normal_cell='x'), "normal_cell is 'x'"),
    (dict(reduction_cell=dict(ops=[])), 'reduction_cell is .* ops, inputs and concat'),
    (dict(frozen_stages=5), 'frozen_stages is 5'),
    (dict(drop_path_prob=1), 'drop_path_prob is 1'),
    (dict(normal_cell=dict(ops=[('5x5', 'none')], inputs=[(0, 1)], concat=[2])), r"ops\[0\].*'5x5'"),
    (dict(normal_cell=dict(ops=[('1x1', 'none')], inputs=[(0, 2)], concat=[2])), r'inputs\[0\].*node 2'),
    (dict(normal_cell=dict(ops=[('1x1', 'none')], inputs=[(0, 1)], concat=[3])), r'concat is \[3\]'),
    (dict(normal_cell=dict(ops=[('1x1', 'none')] * 2, inputs=[(0, 1)] * 2, concat=[2])), r'nodes \[3\]'),
    (dict(normal_cell=dict(ops=[('1x1', 'none')], inputs=[], concat=[2])), 'ops has 1 pairs'),
])
def test_impossible_arguments_of_amoebanet_are_refused_by_name(kwargs, words):
    with pytest.raises(ValueError, match=words):
        AmoebaNet(**{**dict(num_cells=3, filters=16), **kwargs})


def test_mobilenet_v2_is_mmdets_without_the_last_convolution():
    ours, theirs = MobileNetV2(), MMDetMobileNetV2(out_indices=(2, 4, 6))
    assert count(theirs) - count(ours) == 320 * 1280 + 2 * 1280
    missing = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not missing.missing_keys
    assert {key.split('.')[0] for key in missing.unexpected_keys} == {'conv2'}
    x = torch.rand(2, 3, 65, 64)
    theirs.eval()
    maps = ours.eval()(x)
    assert [m.shape[1:] for m in maps] == [(32, 9, 8), (96, 5, 4), (320, 3, 2)]
    for one, other in zip(maps, theirs(x), strict=True):
        assert torch.equal(one, other)


def test_every_parameter_of_mobilenet_v2_gets_a_gradient():
    backbone = MobileNetV2(widen_factor=0.25)
    assert backbone.train() is backbone
    sum((x * torch.randn_like(x)).sum() for x in backbone(torch.rand(2, 3, 64, 64))).backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize(('kwargs', 'words'), [
    (dict(out_indices=(2, 7)), r'out_indices is \(2, 7\)'),
    (dict(out_indices=(2, 4), frozen_stages=6), 'frozen_stages is 6.*5')])
def test_impossible_arguments_of_mobilenet_v2_are_refused(kwargs, words):
    with pytest.raises(ValueError, match=words):
        MobileNetV2(**kwargs)


@pytest.mark.parametrize('indices', [range(7), [0, 3], (6,), np.array([1, 2]), [np.int64(1), 2]])
def test_out_indices_are_any_sequence_of_whole_numbers(indices):
    check_out_indices(indices, 6, 'layers')
    assert MobileNetV2(out_indices=indices).out_indices == tuple(indices)


@pytest.mark.parametrize(('indices', 'words'), [
    (range(8), r'range\(0, 8\), but 7 is none of 0\.\.6: layers'), ([-1, 2], '-1 is none of'),
    ([2, 1], 'rising order'), ([1, 1], 'each number once'), ([1, 2.0], r'2\.0 is no whole number'),
    ([True], 'True is no whole number'), ('01', 'must be a list of whole numbers'),
    ({0, 1}, 'must be a list'), (3, 'must be a list'), ([], 'at least one')])
def test_out_indices_are_refused_for_what_is_wrong_with_them(indices, words):
    with pytest.raises(ValueError, match=words):
        check_out_indices(indices, 6, 'layers')


def test_mobilenet_v2_freezes_up_to_the_last_layer_that_is_built():
    backbone = MobileNetV2(out_indices=(2, 4), frozen_stages=5).train()
    assert not any(p.requires_grad for p in backbone.parameters())


def test_resnet10_has_one_basic_block_in_each_stage_and_no_other_depth():
    with pytest.raises(ValueError, match='depth is 18'):
        ResNet10(depth=18)
    backbone = ResNet10(depth=10, norm_eval=False)
    assert backbone.depth == 10
    assert backbone.train() is backbone
    assert [len(getattr(backbone, name)) for name in backbone.res_layers] == [1, 1, 1, 1]
    # 7x7 stem; in each block two 3x3 convolutions; a 1x1 where the channels change; BN after each.
    blocks = [(64, 64), (64, 128), (128, 256), (256, 512)]
    params = 3 * 64 * 49 + 2 * 64
    for x, y in blocks:
        params += 9 * x * y + 2 * y + 9 * y * y + 2 * y + (x * y + 2 * y if x != y else 0)
    assert count(backbone) == params
    assert [x.shape[1:] for x in backbone(torch.rand(2, 3, 64, 65))] == [
        (64, 16, 17), (128, 8, 9), (256, 4, 5), (512, 2, 3)]
