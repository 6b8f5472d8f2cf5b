"""Exports in int8 and float16: what they are calibrated with, what they say, what is refused."""
import importlib.util
import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from mmnasfpn.engine.run import evaluate, load_config
from mmnasfpn.errors import UsageError
from mmnasfpn.export import OnnxDetector, to_fp16, to_int8, to_onnx, write_onnx
from mmnasfpn.export.onnx_detector import Frame
from mmnasfpn.export.precision import network_of
from mmnasfpn.export.run import Form, convert_model, export_checkpoint
from mmnasfpn.export.runtimes import BACKENDS, open_model
from mmnasfpn.prediction import Predictor
from mmnasfpn.prediction.examples import example_images
from tests.conftest import run_tool_here
from tests.test_export.lively import images_of


@pytest.fixture
def shapes(lively):
    """The config, with its images drawn: 12 to train with, 4 to test."""
    cfg = load_config(lively[0])
    example_images(cfg)
    return cfg


@pytest.fixture
def warnings(monkeypatch):
    """What is logged while examples are read."""
    logged = []
    monkeypatch.setattr('mmnasfpn.prediction.examples.print_log', lambda text, *_: logged.append(text))
    return logged


def graph(*nodes):
    """A graph of nodes, (operator, inputs, outputs) each."""
    made = [helper.make_node(kind, inputs.split(), outputs.split(), name=outputs)
            for kind, inputs, outputs in nodes]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ('x', 'y'))
    return helper.make_model(helper.make_graph(made, 'g', [x], [y]))


def test_the_network_goes_from_the_first_convolutions_to_before_the_last():
    model = graph(('Sub', 'x mean', 'a'), ('Conv', 'a w1', 'b'), ('Relu', 'b', 'c'),
                  ('Shape', 'x', 's'), ('Conv', 'c w2', 'd'), ('Resize', 'd s', 'e'),
                  ('Add', 'e c', 'f'), ('Conv', 'f w3', 'scores'), ('Conv', 'd w4', 'boxes'),
                  ('Sigmoid', 'scores', 'p'), ('Mul', 'p boxes', 'y'))
    assert [node.name for node in network_of(model)] == ['b', 'c', 'd', 'e', 'f']
    with pytest.raises(ValueError, match='no convolution after another'):
        network_of(graph(('Conv', 'x w', 'a'), ('Relu', 'a', 'y')))


class Amplifier(torch.nn.Module):
    """Whose second convolution makes a channel large that is small among the others."""

    def __init__(self):
        super().__init__()
        self.convs = torch.nn.ModuleList(torch.nn.Conv2d(4, 4, 1) for _ in range(4))
        with torch.no_grad():
            for index, conv in enumerate(self.convs):  # different ones, as the exporter joins the same
                conv.weight[:] = (1 - 0.01 * index) * torch.eye(4)[..., None, None]
                conv.bias[:] = 0
            self.convs[1].weight[0, 0], self.convs[2].weight[0, 0] = 0.01, 100

    def forward(self, x):
        x = self.convs[0](x)
        for conv in self.convs[1:3]:
            x = conv(x).clamp(0, 1)
        return self.convs[3](x)


@pytest.mark.parametrize('is_symmetric', [False, True])
def test_a_convolution_that_rounding_would_spoil_stays_in_float(is_symmetric, tmp_path, monkeypatch):
    x = torch.rand(8, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    model = to_onnx(Amplifier().eval(), [x], ['x'])
    expected = Amplifier()(x).detach().numpy()
    errors, floats = {}, {}
    for most in (0.05, 1e9):
        monkeypatch.setattr('mmnasfpn.export.precision._MOST_NOISE', most)
        converted = to_int8(model, (batch for batch in [x.numpy()]), is_symmetric)
        write_onnx(converted, tmp_path / 'int8.onnx')
        [found] = open_model(tmp_path / 'int8.onnx').run(x.numpy())
        errors[most] = np.abs(found - expected).max()
        made_by = {name: node for node in converted.graph.node for name in node.output}
        floats[most] = sum(node.op_type == 'Conv' and node.input[1] not in made_by
                           for node in converted.graph.node)
    assert floats == {0.05: 3, 1e9: 1}  # with the one whose activation it takes, and the last one
    assert errors[0.05] < 0.02 and errors[1e9] > 0.1


def test_the_tool_calibrates_with_the_training_images(lively, exported, tmp_path, monkeypatch, warnings,
                                                      capsys):
    config, _ = lively
    out = tmp_path / 'int8.onnx'
    run_tool_here(monkeypatch, 'export_onnx', config, exported, out, '--precision', 'int8')
    assert 'Done' in capsys.readouterr().out
    assert 'there are 12 images to calibrate with, but with fewer than 32' in warnings[0]
    about = json.loads({prop.key: prop.value for prop in onnx.load(out).metadata_props}['mmnasfpn'])
    assert (about['config'], about['precision']) == ('tiny.py', 'int8')
    assert about['classes'] == ['circle', 'square', 'triangle'] and about['version']
    assert 'QuantizeLinear' in {node.op_type for node in onnx.load(out).graph.node}
    for backend in BACKENDS:
        cfg = load_config(config, tmp_path / backend)
        cfg.experiment_name = f'{tmp_path.name}-{backend}'
        assert 0 <= evaluate(cfg, str(out), backend=backend)['coco/bbox_mAP'] <= 1
        image = images_of((101, 117), 1)[0].permute(1, 2, 0).numpy()
        found = list(Predictor(config, out, backend=backend)([image] * 3, batch_size=3))
        assert len(found) == 3 and len(found[0].boxes) > 20


def test_examples_are_drawn_from_what_is_given(shapes, tmp_path):
    def sums(*arguments, **options):
        return sorted(x.sum().item() for x in example_images(shapes, *arguments, **options))

    root = shapes.data_root
    everything = sums()
    assert len(everything) == 12 and example_images(shapes)[0].shape == (3, 256, 256)
    assert sums(f'{root}/train') == sums(f'{root}/train/*.jpg') == everything
    assert sums(f'{root}/annotations/train.json') == everything
    some = sums(number=5)
    assert some == sums(number=5) != sums(number=5, seed=1) and set(some) < set(everything)
    shutil.copytree(f'{root}/train', tmp_path / 'mine/images')
    names = dict(images=[dict(id=1, file_name='000003.jpg')], annotations=[], categories=[])
    (tmp_path / 'mine/annotations').mkdir()
    (tmp_path / 'mine/annotations/some.json').write_text(json.dumps(names))
    shapes.train_dataloader = None
    shapes.test_dataloader.dataset.data_root = 'nowhere'
    assert sums(tmp_path / 'mine/annotations/some.json') == [
        x for x in everything if x in sums(tmp_path / 'mine/images/000003.jpg')]
    with pytest.raises(UsageError, match='no train_dataloader .* by --calibration'):
        example_images(shapes)


def test_examples_that_are_missing_are_named(shapes, tmp_path, warnings):
    (tmp_path / 'a.jpg').write_text('text')
    with pytest.raises(FileNotFoundError, match='none of .*a.jpg.* can be read'):
        example_images(shapes, tmp_path)
    assert f'{tmp_path}/a.jpg is skipped' in warnings[0]
    (tmp_path / 'none.json').write_text(json.dumps(dict(images=[], annotations=[], categories=[])))
    (tmp_path / 'lost.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='z.jpg')], annotations=[], categories=[])))
    for given, words in (('none.json', 'has no image'), ('empty', 'without an image'),
                         ('lost.json', 'has z.jpg, but they are not in .*: give the folder')):
        (tmp_path / 'empty').mkdir(exist_ok=True)
        with pytest.raises(FileNotFoundError, match=words):
            example_images(shapes, tmp_path / given)


def test_impossible_precisions_are_refused_before_anything_is_written(lively, tmp_path, monkeypatch,
                                                                      capsys):
    cfg, out = load_config(lively[0]), tmp_path / 'not.onnx'
    with pytest.raises(UsageError, match='int8 needs images .* --calibration'):
        export_checkpoint(cfg, lively[1], out, Form(precision='int8'))
    with pytest.raises(SystemExit):
        run_tool_here(monkeypatch, 'export_onnx', *lively, out, '--calibration', tmp_path)
    assert '--calibration is for --precision int8' in capsys.readouterr().err
    assert not list(tmp_path.glob('not*'))


def test_an_exported_model_is_converted_but_not_twice(lively, exported, tmp_path, monkeypatch, capsys):
    half, other = tmp_path / 'half.onnx', tmp_path / 'other.onnx'
    run_tool_here(monkeypatch, 'export_onnx', lively[0], exported, half, '--precision', 'fp16')
    about = OnnxDetector(half).about
    assert about == {**OnnxDetector(exported).about, 'precision': 'fp16'}
    int8 = exported.with_name('int8.onnx')
    convert_model(exported, int8, 'int8', images_of((256, 256), 2))
    for path, words in ((half, 'is in float16 already'), (int8, 'is quantised already')):
        for precision in ('fp16', 'int8'):
            with pytest.raises(ValueError, match=words):
                convert_model(path, other, precision, images_of((256, 256), 1))
    (tmp_path / 'text.onnx').write_text('text')
    onnx.save(graph(('Relu', 'x', 'y')), tmp_path / 'bare.onnx')
    for path in ('text.onnx', 'bare.onnx'):
        with pytest.raises(UsageError, match=f'{path} is no model of tools/export_onnx.py'):
            convert_model(tmp_path / path, other, 'fp16')
    with pytest.raises(FileNotFoundError, match='none.onnx does not exist'):
        convert_model(tmp_path / 'none.onnx', other, 'fp16')
    old = onnx.load(exported)
    old.opset_import[0].version = 11
    for convert in (to_fp16, lambda model: to_int8(model, [])):
        with pytest.raises(ValueError, match='has opset 11, but .* needs at least 13: export it anew'):
            convert(old)
    for options, words in ((['--dynamic'], '--dynamic is settled in'), ([], 'is exported already')):
        with pytest.raises(SystemExit):
            run_tool_here(monkeypatch, 'export_onnx', lively[0], exported, other, *options)
        assert words in capsys.readouterr().err
    assert not other.exists()


def test_a_runtime_that_is_not_there_and_an_unknown_one_are_named(exported, lively, monkeypatch):
    with pytest.raises(ValueError, match="backend is 'tflite', but must be one of onnx, openvino"):
        open_model(exported, 'tflite')
    with pytest.raises(UsageError, match="--backend is 'openvino', which is for an exported model"):
        Predictor(*lively, backend='openvino')
    text = exported.with_name('text.onnx')
    text.write_text('text')
    with pytest.raises(ValueError, match='no model that OpenVINO can run'):
        open_model(text, 'openvino')
    with pytest.raises(FileNotFoundError, match='does not exist'):
        open_model(exported.with_name('none.onnx'), 'openvino')
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='OpenVINO is not installed: pip install .mmnasfpn.export'):
        open_model(exported, 'openvino')


def test_openvino_refuses_images_that_it_would_not_answer(lively, exported):
    about = dict(background=[0, 0, 0], least=97)
    frame = Frame.of(['n', 3, 'h', 'w'], about, 'm.onnx', 'openvino')
    assert frame.stack([torch.zeros(3, 97, 200)]).shape == (1, 3, 97, 200)
    with pytest.raises(ValueError, match='96x200, but OpenVINO runs m.onnx on no fewer than 97'):
        frame.stack([torch.zeros(3, 96, 200)])
    assert Frame.of([-1, 3, -1, -1], about, 'm.onnx', 'onnx').least == 1
    assert OnnxDetector(exported).about['least'] == 97


def test_no_images_are_answered_without_the_runtime(exported, monkeypatch):
    detector = OnnxDetector(exported)
    monkeypatch.setattr(detector, 'runtime', None)
    assert detector([], []) == [] and detector.test_step(dict(inputs=[], data_samples=[])) == []


@pytest.mark.parametrize('backend', BACKENDS)
def test_every_runtime_takes_as_many_threads_as_pytorch(exported, backend):
    before = torch.get_num_threads()
    images = images_of((256, 256), 1).float().numpy()
    found = {}
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found[threads] = open_model(exported, backend).run(images)
    finally:
        torch.set_num_threads(before)
    for one, two in zip(found[1], found[2], strict=True):
        torch.testing.assert_close(torch.from_numpy(one), torch.from_numpy(two))
