"""Networks are one graph each for the compiler, for all sizes of images, and compute the same."""
import copy
import pickle

import pytest
import torch
from mmdet.models.dense_heads import RetinaHead, RetinaSepBNHead
from packaging.version import Version
from torch import nn

from mmnasfpn.anytime.latency import time_exits
from mmnasfpn.genotypes import Genotype, MergingCell
from mmnasfpn.models import compile as compiling
from mmnasfpn.models.backbones import AmoebaNet, MobileNetV2, ResNet10
from mmnasfpn.models.compile import compile_networks
from mmnasfpn.models.dense_heads import LiteRetinaHead
from mmnasfpn.models.necks import FPN, NASFPN, PyramidNetwork
from tests.test_models import test_anytime as anytime

#: Both ops, resizing both ways by one level and by two, and a loose end.
GENOTYPE = Genotype((
    MergingCell(4, 'gp', (0, 2)), MergingCell(3, 'sum', (3, 0), is_output=True),
    MergingCell(5, 'gp', (0, 2), is_output=True), MergingCell(4, 'sum', (4, 5), is_output=True)), 3, 5)
PLAIN = dict(type='BN', momentum=0.003, eps=1e-4)


def neck(**options):
    return NASFPN([4, 6], 8, 3, stack_times=1, genotype=GENOTYPE, **options)


def head(kind, **options):
    anchors = dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=1, ratios=[1.0],
                   strides=[8, 16, 32])
    return kind(num_classes=2, in_channels=8, num_ins=3, stacked_convs=1, feat_channels=8,
                anchor_generator=anchors, **options)


def maps(height, width, *channels, batch=2):
    made = []
    for number in channels:
        made.append(torch.rand(batch, number, height, width))
        height, width = -(-height // 2), -(-width // 2)
    return made


NETWORKS = dict(
    nasfpn=(neck, (4, 6)),
    separable=(lambda: neck(separable=True), (4, 6)),
    dropblock=(lambda: neck(dropblock_cfg=dict(keep_prob=0.8)), (4, 6)),
    mmdet=(lambda: neck(variant='mmdet'), (4, 6)),
    fpn=(lambda: FPN([4, 6], 8, 3), (4, 6)),
    pyramid=(lambda: PyramidNetwork(GENOTYPE, 8, PLAIN), (8, 8, 8)),
    amoebanet=(lambda: AmoebaNet(3, 16, 8, out_indices=(0,), drop_path_prob=0.2), (3,)),
    mobilenet=(lambda: MobileNetV2(out_indices=(1,)), (3,)),
    resnet10=(lambda: ResNet10(base_channels=4, num_stages=2, strides=(1, 2), dilations=(1, 1),
                               out_indices=(0, 1)), (3,)),
    lite_head=(lambda: head(LiteRetinaHead), (8, 8, 8)),
    retina_head=(lambda: RetinaHead(2, 8, stacked_convs=1, feat_channels=8), (8, 8, 8)),
    sepbn_head=(lambda: head(RetinaSepBNHead, norm_cfg=PLAIN), (8, 8, 8)))


def tensors(outputs):
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [x for part in outputs for x in tensors(part)]


def step(network, inputs, training, autocast=False):
    """Run a copy, backward too in training; return the outputs, gradients and statistics."""
    network = copy.copy(network).train(training)
    inputs = [x.clone().requires_grad_() for x in inputs]
    torch.manual_seed(0)
    with torch.set_grad_enabled(training), torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        outputs = tensors(network(inputs[0] if len(inputs) == 1 else inputs))
    if not training:
        return outputs
    # Each value counts differently: a plain sum of squares is the same for all that is normalised.
    sum((x.float().square() * torch.linspace(0, 1, x.numel()).view_as(x)).sum()
        for x in outputs).backward()
    gradients = [x.grad for x in (*inputs, *network.parameters())]
    return [*outputs, *gradients, *network.buffers()]


def assert_same(found, expected, tolerance=1e-4):
    for x, y in zip(found, expected, strict=True):
        assert (x is None) == (y is None)
        if x is not None:
            torch.testing.assert_close(x, y, rtol=0, atol=tolerance * y.abs().max().item())


def compiled(network, **options):
    return compile_networks(copy.deepcopy(network), fullgraph=True, **{'backend': 'eager', **options})


@pytest.mark.parametrize('name', NETWORKS)
def test_networks_are_one_graph_in_training_and_in_evaluation(name):
    build, channels = NETWORKS[name]
    torch.manual_seed(0)
    network = build()
    other = compiled(network)
    inputs = maps(33, 52, *channels)
    # In the precision that the other tests of the mode do not have.
    for training in (True, False):
        assert_same(step(other, inputs, training, autocast=not training),
                    step(network, inputs, training, autocast=not training))


def test_networks_are_one_graph_where_they_are_trained_in_mixed_precision():
    torch.manual_seed(0)
    network, inputs = neck(), maps(20, 17, 4, 6)
    assert_same(step(compiled(network), inputs, True, autocast=True),
                step(network, inputs, True, autocast=True), tolerance=0.02)


@pytest.mark.skipif(Version(torch.__version__) < Version('2.9'), reason='refused before torch 2.9')
def test_checkpointed_activations_are_one_graph_are_not_kept_and_count_the_batch_once():
    torch.manual_seed(0)
    network, inputs, saved = neck(with_cp=True), maps(20, 17, 4, 6), []
    other = compiled(network, backend='aot_eager')
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (saved.append(x.numel()), x)[1],
                                                  lambda x: x):
        found = step(other, inputs, True)
        compiled_size = sum(saved)
        network.with_cp = False
        expected = step(network, inputs, True)
    assert_same(found, expected)
    # It keeps little more than what passes between stacks and laterals; how little depends on PyTorch.
    assert compiled_size < 0.6 * (sum(saved) - compiled_size)


def test_checkpointed_activations_are_refused_where_statistics_would_count_twice(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.8.0+cpu')
    with pytest.raises(ValueError, match=r'by torch 2.8.0\+cpu, .* install torch 2.9 or newer'):
        compile_networks(neck(with_cp=True), backend='aot_eager')
    compile_networks(neck(), backend='aot_eager')


class Counter:
    """A backend that counts the graphs."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


@pytest.fixture
def told(monkeypatch):
    messages = []
    monkeypatch.setattr(compiling, 'print_log', lambda message, **_: messages.append(message))
    return messages


class Detector(nn.Module):
    """The networks of a small detector."""

    def __init__(self):
        super().__init__()
        self.backbone = NETWORKS['resnet10'][0]()
        self.neck = NASFPN([4, 8], 8, 3, 1, genotype=GENOTYPE, dropblock_cfg={})
        self.bbox_head = head(RetinaSepBNHead, norm_cfg=PLAIN)


def graphs_of(size, detector, counter):
    """Return how many graphs of each network images of a size add."""
    x, found = torch.rand(size[0], 3, *size[1:]), []
    for network in detector.children():
        before = counter.graphs
        x = network(x)
        found.append(counter.graphs - before)
    return found


@pytest.mark.parametrize(('training', 'batches'), [(True, (2, 2, 2, 3, 5, 2)), (False, (1,) * 6)])
def test_images_of_all_sizes_take_two_graphs_of_each_network(training, batches, told):
    counter = Counter()
    detector = compile_networks(Detector(), backend=counter, fullgraph=True).train(training)
    sizes = (128, 160), (97, 160), (131, 91), (64, 256), (129, 127), (128, 160)
    with torch.set_grad_enabled(training):
        added = [graphs_of((batch, *size), detector, counter)
                 for batch, size in zip(batches, sizes, strict=True)]
    assert added == [[1, 1, 1], [1, 1, 1], *[[0, 0, 0]] * 4]
    if Version(torch.__version__) >= Version('2.13'):  # earlier graphs do not take all sizes
        assert not told


def test_a_backbone_that_pads_as_tensorflow_takes_all_sizes_by_two_graphs(told):
    torch.manual_seed(0)
    network = MobileNetV2(out_indices=(1,), conv_cfg=dict(type='Conv2dAdaptivePadding')).double()
    counter = Counter()
    other = compiled(network, backend=counter)
    for size, graphs in (((33, 52), 1), ((64, 48), 2), ((47, 31), 2)):
        inputs = [x.double() for x in maps(*size, 3)]
        # The output, and the gradient of the image.
        assert_same(step(other, inputs, True)[:2], step(network, inputs, True)[:2])
        assert counter.graphs == graphs
    assert not told


class Cut(nn.Module):
    """Takes wide maps by another graph than narrow ones."""

    def forward(self, x):
        return 2 * x[..., :min(x.shape[-1], 20)]


@pytest.mark.parametrize(('dynamic', 'graphs', 'is_told'), [
    (None, [1, 2, 2, 2, 2], True), (True, [1, 1, 1, 1, 1], True), (False, [1, 2, 3, 4, 4], False)])
def test_sizes_that_the_graphs_do_not_take_run_uncompiled(dynamic, graphs, is_told, told):
    counter, found = Counter(), []
    network = compile_networks(Cut(), dynamic=dynamic, backend=counter)
    for size in (16, 18, 40, 19, 40):
        assert network(torch.ones(2, size)).sum() == 4 * min(size, 20)
        found.append(counter.graphs)
    assert found == graphs
    assert len(told) == is_told and all('of the compiled Cut do not take' in message for message in told)


@pytest.mark.parametrize(('dynamic', 'graphs'), [(True, [1, 0, 0]), (False, [1, 1, 1])])
def test_whether_sizes_share_a_graph_can_be_chosen(dynamic, graphs):
    counter = Counter()
    network = compile_networks(nn.Conv2d(3, 3, 3), dynamic=dynamic, backend=counter)
    before = 0
    for size, added in zip([(16, 24), (17, 20), (32, 31)], graphs, strict=True):
        network(torch.rand(2, 3, *size))
        assert counter.graphs - before == added
        before = counter.graphs


def test_exits_of_an_anytime_detector_are_compiled_each_by_itself_and_only_when_asked_for(tmp_path):
    model = anytime.build(anytime.config(tmp_path, stacks=2))
    plain, counter = copy.deepcopy(model), Counter()
    compile_networks(model, backend=counter, fullgraph=True)
    data, graphs = anytime.batch(1), []
    for _ in range(2):
        for mine, theirs in zip(model.anytime(data), plain.anytime(data), strict=True):
            graphs.append(counter.graphs)
            assert mine[0] == theirs[0]
            assert anytime.same(anytime.boxes_of(mine[1]), anytime.boxes_of(theirs[1]))
    assert graphs == [3, 5, 5, 5]  # a stack and the head with an exit's norms, and the backbone at first
    runs = time_exits(model, [data])
    assert [run.exit_stack for run in runs] == [1, 2] and all(run.neck > 0 for run in runs)


def test_copies_and_weights_are_those_of_a_model_that_is_not_compiled():
    model = Detector()
    names = list(model.state_dict())
    compile_networks(model, backend='eager')
    assert list(model.state_dict()) == names
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.neck.forward.__func__ is NASFPN.forward
        with torch.no_grad():
            for weight in other.parameters():
                weight.zero_()
        assert other.neck.forward.__self__ is other.neck
        assert not other.neck.eval()(maps(16, 16, 4, 8))[0].any()
    assert model.neck.eval()(maps(16, 16, 4, 8))[0].any()


def test_a_forward_that_a_user_replaced_is_copied_with_the_model():
    model = Detector()
    model.neck.forward = tensors
    compile_networks(model, backend='eager')
    assert copy.deepcopy(model).neck.forward is tensors


def test_maps_that_do_not_fit_are_refused_when_compiled_too():
    network = compile_networks(FPN([4, 4], 8, 3), backend='eager').eval()
    network(maps(25, 25, 4, 4))
    with pytest.raises(ValueError, match='must be 13x13'):
        network([torch.rand(2, 4, 25, 25), torch.rand(2, 4, 12, 12)])


def test_precisions_and_exits_have_sizes_of_their_own(told):
    network = compile_networks(nn.Conv2d(3, 3, 3), backend=Counter())
    for autocast in (False, True):
        for size in (16, 24, 32):
            with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
                network(torch.rand(2, 3, size, size))
    assert not told


def test_hooks_of_networks_run_at_each_call_whenever_they_came():
    network, seen = compile_networks(neck(), backend='eager', fullgraph=True).eval(), []
    network(maps(16, 16, 4, 6))
    network.register_forward_hook(lambda *_: seen.append(len(seen)))
    for _ in range(2):
        network(maps(16, 16, 4, 6))
    assert seen == [0, 1]


@pytest.mark.parametrize(('mode', 'expected'), [
    (None, ['backbone', 'neck']), ('default', ['backbone', 'neck']),
    ('reduce-overhead', ['step', 'backbone', 'neck'])])
def test_a_step_of_cuda_graphs_begins_with_the_backbone(mode, expected, monkeypatch):
    seen = []
    monkeypatch.setattr(torch, 'compile', lambda call, **options: call)
    monkeypatch.setattr(torch.compiler, 'cudagraph_mark_step_begin', lambda: seen.append('step'))
    model = compile_networks(compile_networks(Detector(), mode), mode)  # twice has no further effect
    for name, network in model.named_children():
        network.register_forward_pre_hook(lambda *_, name=name: seen.append(name))
    model.neck(model.backbone(torch.rand(2, 3, 64, 64)))
    assert seen == expected


def test_inductor_computes_the_same_and_detects_at_all_sizes_by_one_graph():
    torch.manual_seed(0)
    genotype = Genotype((MergingCell(3, 'gp', (0, 1), is_output=True),
                         MergingCell(4, 'sum', (2, 1), is_output=True)), 3, 4)
    network = NASFPN([4, 6], 4, 2, 1, genotype=genotype)
    graphs = torch._dynamo.utils.counters['stats']
    before = graphs['unique_graphs']
    with torch._inductor.config.patch({'cpp.simdlen': 1}):  # less to compile
        other = compiled(network, backend='inductor', dynamic=True)
        for size, training in (((17, 22), True), ((16, 24), False), ((21, 17), False)):
            inputs = maps(*size, 4, 6)
            assert_same(step(other, inputs, training), step(network, inputs, training))
    # One in evaluation; the graph that PyTorch made before 2.13 does not take the last size.
    expected = 2 if Version(torch.__version__) >= Version('2.13') else 3
    assert graphs['unique_graphs'] - before == expected


@pytest.mark.parametrize(('options', 'words'), [
    (dict(mode='fast'), "mode is 'fast', .* of 'default', 'reduce-overhead', 'max-autotune'"),
    (dict(dynamic='yes'), "dynamic is 'yes', but must be True, False or None"),
    (dict(backend='none'), "backend is 'none', but must be one of .*'inductor'"),
    (dict(backend='eager', mode='default'), "only 'inductor' has modes"),
    (dict(backend='eager'), "backend is 'eager', with which activation checkpointing"),
])
def test_impossible_options_are_refused(options, words):
    network = neck(with_cp=True)
    with pytest.raises(ValueError, match=words):
        compile_networks(network, **options)
    assert network.forward.__func__ is NASFPN.forward


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(ValueError, match=r'no no-such-compiler, .*apt install g\+\+'):
        compile_networks(neck())
    assert compiling.compile_networks(neck(), backend='eager')
