"""Exported detectors find what those find that they were exported from."""
import json
import re
import shutil

import mmcv
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.fileio import load
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmnasfpn.anytime.calibrate import calibrate
from mmnasfpn.anytime.report import calibration_to_markdown
from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.engine.run import evaluate, load_config
from mmnasfpn.errors import UsageError
from mmnasfpn.export import (
    AnytimeOnnxDetector,
    ExportableDetector,
    OnnxDetector,
    check_for_tensorrt,
    to_fp16,
    to_int8,
    to_onnx,
    write_onnx,
)
from mmnasfpn.export.operators import keep_by_nms, quotient
from mmnasfpn.export.parts import detector_to_onnx
from mmnasfpn.export.run import EXAMPLE_SIZE, Form, convert_model, export_checkpoint
from mmnasfpn.export.runtimes import BACKENDS, open_model, open_session
from mmnasfpn.models.detectors.calibration import CalibrationError
from mmnasfpn.prediction import Predictor
from tests.conftest import REPO
from tests.test_export.lively import (
    LARGER_SIZES,
    SIZES,
    assert_same,
    detect,
    detector_of,
    images_of,
    make_lively,
)
from tests.test_models.test_detectors import build


def build_lite():
    init_default_scope('mmdet')
    return MODELS.build(load_config(
        str(REPO / 'configs/nasfpn/retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_7e_shapes.py')).model)


@pytest.mark.parametrize(('name', 'nms_pre', 'is_agnostic', 'score_thr'), [
    ('RetinaNet', 3840, False, 0.95), ('RetinaNet', 30, True, 0.5), ('FCOS', 3840, False, 0.8),
    ('ATSS', 3840, False, 0.8), ('ATSS, six levels', 30, False, 0.5), ('RTMDet', 3840, False, 0.7),
    ('Lite', 3840, False, 0.5)])
def test_every_head_is_decoded_as_by_mmdetection(name, nms_pre, is_agnostic, score_thr, tmp_path):
    detector = make_lively(build_lite() if name == 'Lite' else build(name, tmp_path),
                           0.05 if name == 'RTMDet' else 0.15)
    detector.data_preprocessor.pad_size_divisor = 32
    test_cfg = detector.bbox_head.test_cfg
    test_cfg.update(nms_pre=nms_pre, score_thr=score_thr, max_per_img=50)
    test_cfg.nms.update(iou_threshold=0.5, class_agnostic=is_agnostic)
    images = images_of(SIZES[1])
    module = ExportableDetector(detector)
    with torch.no_grad():
        found = module(images.float())
    assert [tuple(x.shape) for x in found] == [(2, 50, 4), (2, 50), (2, 50)]
    for theirs, *ours in zip(detect(detector, images), *found, strict=True):
        assert_same(theirs, *ours)


def test_the_best_candidates_of_all_levels_go_into_nms(tmp_path):
    detector = make_lively(build('RetinaNet', tmp_path))
    detector.bbox_head.test_cfg.update(score_thr=0.0, nms_pre=-1, min_bbox_size=-1, max_per_img=1000)
    detector.bbox_head.test_cfg.nms.iou_threshold = 1.0  # keeps all
    images = images_of(SIZES[1]).float()
    with torch.no_grad():
        _, many, _ = ExportableDetector(detector, max_candidates=1000)(images)
        _, few, _ = ExportableDetector(detector, max_candidates=40)(images)
    assert few.shape == (2, 40)
    torch.testing.assert_close(few, many[:, :40])


@pytest.fixture(scope='module')
def of_open_sizes(lively, tmp_path_factory):
    """The detector, and a model of it for any number of images of any size, with two outputs more."""
    init_default_scope('mmdet')
    detector = detector_of(load_config(lively[0]), lively[1])
    detector.bbox_head.test_cfg.nms_pre = 3840
    path = tmp_path_factory.mktemp('models') / 'both.onnx'
    model = detector_to_onnx(ExportableDetector(detector), torch.zeros(2, 3, *EXAMPLE_SIZE), True)
    maps = {name for node in model.graph.node for name in node.output
            if re.fullmatch(r'(scores|boxes)_\d', name)}
    for name in sorted(maps, key=lambda name: (name[0] == 'b', name)):
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, [None] * 4))
    write_onnx(model, path)
    return detector, path


# OpenVINO takes no map that is smaller than a window of pooling.
@pytest.mark.parametrize(('backend', 'sizes'), [('onnx', SIZES), ('openvino', LARGER_SIZES)])
def test_a_model_of_open_sizes_agrees_at_three_sizes(of_open_sizes, backend, sizes):
    detector, path = of_open_sizes
    run = open_model(path, backend).run
    for size, number in zip(sizes, (1, 2, 3), strict=True):
        images = images_of(size, number)
        boxes, scores, labels, *raw = run(images.float().numpy())
        with torch.no_grad():
            inputs = detector.data_preprocessor(dict(inputs=list(images)))['inputs']
            theirs = [x for maps in detector(inputs, mode='tensor') for x in maps]
        for x, y in zip(raw, theirs, strict=True):
            assert np.abs(x - y.numpy()).max() < 1e-4 * y.abs().max()
        for found, *ours in zip(detect(detector, images), boxes, scores, labels, strict=True):
            assert_same(found, *ours)


def test_exported_models_have_only_onnx_own_operators_and_sort_no_more_than_tensorrt(of_open_sizes):
    graph = onnx.load(of_open_sizes[1]).graph
    assert {node.domain for node in graph.node} == {''}
    operators = {node.op_type for node in graph.node}
    assert {'NonMaxSuppression', 'TopK'} <= operators
    assert not {'GlobalAveragePool', 'AveragePool'} & operators  # what adaptive pooling becomes
    constants = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    assert all(constants[node.input[1]].item() <= 3840 for node in graph.node if node.op_type == 'TopK')


@pytest.fixture(scope='module', params=[('int8', 0.85), ('fp16', 0.9999)], ids=['int8', 'fp16'])
def converted(request, of_open_sizes, tmp_path_factory):
    """That model in another precision, and how close their outputs must correlate at least."""
    precision, least = request.param
    model, path = onnx.load(of_open_sizes[1]), tmp_path_factory.mktemp('models') / f'{precision}.onnx'
    batches = [images_of(size, 4).float().numpy() for size in SIZES]
    write_onnx(to_int8(model, batches) if precision == 'int8' else to_fp16(model), path)
    return path, least


@pytest.mark.parametrize('backend', BACKENDS)
def test_other_precisions_are_near_at_three_sizes(of_open_sizes, converted, backend):
    path, least = converted
    exact, near = open_model(of_open_sizes[1]), open_model(path, backend)
    for size, number in zip(LARGER_SIZES, (1, 2, 3), strict=True):
        images = images_of(size, number).float().numpy()
        for x, y in zip(exact.run(images)[3:], near.run(images)[3:], strict=True):
            assert x.shape == y.shape and x.dtype == y.dtype == np.float32
            assert least < np.corrcoef(x.ravel(), y.ravel())[0, 1] and np.abs(x - y).max() > 0


def test_the_last_convolutions_and_what_is_not_the_network_stay_in_float(of_open_sizes, converted):
    before, after = (onnx.load(path).graph for path in (of_open_sizes[1], converted[0]))
    floats = {x.name for x in after.initializer if x.data_type == onnx.TensorProto.FLOAT}
    assert {'retina_cls', 'retina_reg'} <= {name.split('.')[-2] for name in floats if '.' in name}
    assert not any(name.endswith('conv.weight') for name in floats)
    for kind in ('TopK', 'NonMaxSuppression', 'Sub', 'Pad'):
        numbers = [sum(node.op_type == kind for node in graph.node) for graph in (before, after)]
        assert numbers[0] == numbers[1] > 0


def test_an_exported_model_is_tested_as_the_checkpoint_is(lively, exported, tmp_path):
    config, checkpoint = lively
    metrics, found = {}, {}
    for model in (checkpoint, exported):
        cfg = load_config(config, str(tmp_path / f'test {model.name}'), {'model.test_cfg.nms_pre': 3840})
        evaluate(cfg, str(model), out=str(tmp_path / 'found.pkl'), json_path=str(tmp_path / 'm.json'),
                 show_dir='painted')
        assert len(list((tmp_path / f'test {model.name}').glob('*/painted/*.jpg'))) == 4
        metrics[model] = load(str(tmp_path / 'm.json'))['metrics']
        found[model] = load(str(tmp_path / 'found.pkl'))
    assert metrics[exported] == pytest.approx(metrics[checkpoint], abs=5e-4)
    for theirs, ours in zip(found[checkpoint], found[exported], strict=True):
        assert len(ours['pred_instances']['labels']) == len(theirs['pred_instances']['labels'])
        assert_same(InstanceData(**theirs['pred_instances']), *(
            ours['pred_instances'][key] for key in ('bboxes', 'scores', 'labels')))
    model, other = onnx.load(exported), tmp_path / 'other.onnx'
    model.metadata_props[0].value = model.metadata_props[0].value.replace('"circle", "square"',
                                                                          '"square", "circle"')
    onnx.save(model, other)
    with pytest.raises(CheckpointError, match='the same classes in another order'):
        evaluate(load_config(config, str(tmp_path / 'w')), str(other))


def test_a_model_of_one_size_takes_smaller_images_but_no_larger_ones(lively_config, tmp_path):
    cfg, checkpoint = lively_config
    [path] = export_checkpoint(cfg, checkpoint, tmp_path / 'static.onnx', Form((96, 128), batch_size=2))
    init_default_scope('mmdet')
    detector, exported = detector_of(cfg, checkpoint), OnnxDetector(path)
    assert exported.about['classes'] == ['circle', 'square', 'triangle']
    small = images_of((70, 101), 3)  # two at a time; both pad to 96x128
    scale = torch.tensor([0.5, 2.0, 0.5, 2.0])
    for theirs, ours in zip(detect(detector, small, size=(96, 128)), detect(exported, small, (0.5, 2.0)),
                            strict=True):
        assert len(theirs) == len(ours)
        theirs.bboxes = theirs.bboxes.minimum(torch.tensor([101, 70, 101, 70])) / scale
        assert_same(theirs, ours.bboxes, ours.scores, ours.labels)
    with pytest.raises(ValueError, match='100x128, but .* takes at most 96x128: .*--dynamic'):
        detect(exported, images_of((100, 128), 1))
    with pytest.raises(ValueError, match='can only predict'):
        exported(small, [], mode='loss')


def test_raw_models_and_those_without_a_data_preprocessor_do_nothing_else(lively_config, tmp_path):
    cfg, checkpoint = lively_config
    cfg.model.data_preprocessor = None
    [path] = export_checkpoint(cfg, checkpoint, tmp_path / 'bare.onnx', Form((64, 96), is_raw=True))
    images = images_of((64, 96), 1).float()
    cfg.model.pop('data_preprocessor')
    with torch.no_grad():
        expected = [x for maps in detector_of(cfg, checkpoint)(images, mode='tensor') for x in maps]
    session = open_session(path)
    assert [(output.name, output.shape) for output in session.get_outputs()][::5] == [
        ('scores_0', [1, 27, 8, 12]), ('boxes_0', [1, 36, 8, 12])]
    for found, theirs in zip(session.run(None, {'images': images.numpy()}), expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(found), theirs, rtol=1e-3,
                                   atol=1e-4 * theirs.abs().max().item())
    about = json.loads(session.get_modelmeta().custom_metadata_map['mmnasfpn'])
    assert about['background'] == [0, 0, 0]
    with pytest.raises(ValueError, match='gives no detections'):
        OnnxDetector(path)


def test_a_data_preprocessor_of_another_kind_is_refused(tmp_path):
    detector = build('RetinaNet', tmp_path)
    detector.data_preprocessor = torch.nn.Identity()
    with pytest.raises(ValueError, match='data_preprocessor is a Identity, .*mmdet.DetDataPreprocessor'):
        ExportableDetector(detector)


@pytest.fixture(scope='module')
def anytime(lively, tmp_path_factory):
    """The config of an anytime detector, its checkpoint, and the exits exported from it."""
    folder = tmp_path_factory.mktemp('anytime')
    config = folder / 'anytime.py'
    config.write_text(f"_base_ = {str(lively[0])!r}\nmodel = dict(type='mmnasfpn.AnytimeDetector', "
                      "heads='shared', test_cfg=dict(nms_pre=3840))\n")
    paths = export_checkpoint(load_config(config), lively[1], folder / 'any.onnx', Form(SIZES[0]),
                              all_exits=True)
    return config, lively[1], paths


def test_exits_are_models_of_their_own(anytime):
    config, checkpoint, paths = anytime
    cfg = load_config(config)
    assert [path.name for path in paths] == ['any-exit1.onnx', 'any-exit2.onnx']
    assert paths[0].stat().st_size < paths[1].stat().st_size  # without the second stack
    detector, images = detector_of(cfg, checkpoint), images_of(SIZES[0], 1)
    for exit_stack, path in enumerate(paths, 1):
        detector.test_cfg.exit_stack = exit_stack
        [theirs] = detect(detector, images)
        found = open_session(path).run(None, {'images': images.float().numpy()})
        assert_same(theirs, *(x[0] for x in found))


@pytest.mark.parametrize('backend', BACKENDS)
def test_exported_exits_keep_deadlines_by_a_calibration_of_their_runtime(anytime, backend, tmp_path):
    config, _, _ = anytime
    path, latency = config.with_name('any.onnx'), tmp_path / 'latency.json'
    cfg = load_config(config)
    calibration, shapes = calibrate(cfg, str(path), image_size=(100, 120), num_runs=2, backend=backend)
    assert {'onnx': 'ONNX Runtime', 'openvino': 'OpenVINO'}[backend] in calibration.machine['runtime']
    assert calibration.inputs[0].image_size == SIZES[0]  # to which it is filled up
    assert '| 2 |' in calibration_to_markdown(calibration.machine, shapes)
    calibration.save(latency)
    times = calibration.inputs[0].exits
    image = images_of((100, 120), 1)[0].permute(1, 2, 0).numpy()
    cfg.test_dataloader.dataset.pipeline[1].scale = SIZES[0]
    for deadline, exit_stack in ((1e-3, 1), (max(times.values()) + 1, 2)):
        predictor = Predictor(cfg, path, deadline_ms=deadline, calibration=latency, backend=backend)
        if exit_stack == 1:
            with pytest.warns(RuntimeWarning, match='no exit takes 0.001 ms or less'):
                [found] = predictor([image])
        else:
            [found] = predictor([image])
        [same] = Predictor(cfg, path, exit_stack=exit_stack, backend=backend)([image])
        assert found.exit_stack == same.exit_stack == exit_stack
        assert len(found.boxes) > 20 and (found.boxes == same.boxes).all()
    with pytest.raises(CalibrationError, match='of another model|of another machine'):
        AnytimeOnnxDetector(path, next(name for name in BACKENDS if name != backend)).load_calibration(
            latency)


def test_exits_that_do_not_go_together_or_are_missing_are_named(anytime, tmp_path):
    config, checkpoint, paths = anytime
    cfg = load_config(config)
    with pytest.raises(FileNotFoundError, match='there is no .*none-exit1.onnx'):
        AnytimeOnnxDetector(tmp_path / 'none.onnx')
    with pytest.raises(FileNotFoundError, match='none.onnx'):
        Predictor(cfg, tmp_path / 'none.onnx')
    detector = AnytimeOnnxDetector(config.with_name('any.onnx'))
    assert detector.test_step(dict(inputs=[], data_samples=[])) == []
    with pytest.raises(UsageError, match='has 2 images, but the models take 1 at a time'):
        detector.input_shape(images_of(SIZES[0], 2))
    cfg.model.exits = [2]
    with pytest.raises(UsageError, match='has the exits .1, 2., but the config .2.'):
        calibrate(cfg, str(config.with_name('any.onnx')))
    with pytest.raises(UsageError, match="--backend is 'onnx', which is for exported exits"):
        calibrate(cfg, str(checkpoint), backend='onnx')
    for path in paths:
        shutil.copy(path, tmp_path)
    model = onnx.load(paths[0])
    model.metadata_props[0].value = model.metadata_props[0].value.replace('anytime.py', 'other.py')
    onnx.save(model, tmp_path / paths[0].name)
    with pytest.raises(ValueError, match='any-exit1.onnx and .*any-exit2.onnx are not of one export'):
        AnytimeOnnxDetector(tmp_path / 'any.onnx')


#: Not in https://github.com/onnx/onnx-tensorrt/blob/main/docs/operators.md of TensorRT 8.4, which
#: later versions add to, or of an output whose size it would not know.
UNKNOWN_TO_TENSORRT = {
    'BitShift', 'Compress', 'ConvInteger', 'Det', 'DynamicQuantizeLinear', 'Hardmax', 'IsInf',
    'MatMulInteger', 'MaxRoiPool', 'MaxUnpool', 'Mod', 'Multinomial', 'NonMaxSuppression', 'NonZero',
    'OneHot', 'QLinearConv', 'QLinearMatMul', 'Reciprocal', 'RoiAlign', 'Shrink', 'Unique'}


@pytest.fixture(scope='module')
def for_tensorrt(lively, tmp_path_factory):
    """The config of the detector, its checkpoint, and the model of its candidates."""
    cfg = load_config(lively[0], cfg_options={'model.test_cfg.nms_pre': 3840})
    out = tmp_path_factory.mktemp('models') / 'tensorrt.onnx'
    export_checkpoint(cfg, lively[1], out, Form(SIZES[0], batch_size=2, target='tensorrt'))
    return cfg, lively[1], out


def test_what_is_for_tensorrt_has_known_sizes_and_operators_and_no_nms(for_tensorrt):
    model = onnx.load(for_tensorrt[2])
    check_for_tensorrt(model)
    assert not {node.op_type for node in model.graph.node} & UNKNOWN_TO_TENSORRT
    shapes = [[dim.dim_value for dim in output.type.tensor_type.shape.dim]
              for output in model.graph.output]
    assert shapes == [[2, 3840, 4], [2, 3840], [2, 3840]]
    constants = {x.name: onnx.numpy_helper.to_array(x) for x in model.graph.initializer}
    assert {constants[node.input[1]].item() for node in model.graph.node
            if node.op_type == 'TopK'} == {3840}


@pytest.mark.parametrize('backend', BACKENDS)
def test_candidates_become_the_detections_that_a_model_with_nms_gives(for_tensorrt, backend):
    cfg, checkpoint, out = for_tensorrt
    detector, exported = detector_of(cfg, checkpoint), OnnxDetector(out, backend)
    small = images_of((70, 101), 3)
    scale = torch.tensor([0.5, 2.0, 0.5, 2.0])
    filled = torch.stack([torch.from_numpy(x) for x in exported.frame.stack(small[:2])])
    with torch.no_grad():
        expected = ExportableDetector(detector)(filled)
    for index, ours in enumerate(detect(exported, small, (0.5, 2.0))[:2]):
        boxes, scores, labels = (x[index] for x in expected)
        found = labels >= 0
        assert_same(InstanceData(
            bboxes=boxes[found].minimum(torch.tensor([101, 70, 101, 70])) / scale, scores=scores[found],
            labels=labels[found]), ours.bboxes, ours.scores, ours.labels)


def test_integers_for_tensorrt_are_symmetric(for_tensorrt, tmp_path):
    out = tmp_path / 'int8.onnx'
    convert_model(for_tensorrt[2], out, 'int8', images_of(SIZES[0], 4))
    model = onnx.load(out)
    check_for_tensorrt(model)
    constants = {x.name: onnx.numpy_helper.to_array(x) for x in model.graph.initializer}
    quantizing = [node for node in model.graph.node if node.op_type.endswith('QuantizeLinear')]
    zeros = [constants[node.input[2]] for node in quantizing]
    assert len(zeros) > 50
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    assert json.loads(model.metadata_props[0].value)['precision'] == 'int8'
    options = onnxruntime.SessionOptions()  # that computes in float: the sums of some CPUs overflow
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    images = {'images': images_of(SIZES[0], 2).float().numpy()}
    exact, near = (np.sort(onnxruntime.InferenceSession(path, options).run(None, images)[1])
                   for path in (for_tensorrt[2], out))
    assert np.corrcoef(exact.ravel(), near.ravel())[0, 1] > 0.97


def test_what_tensorrt_would_not_take_is_named(of_open_sizes, for_tensorrt):
    with pytest.raises(ValueError, match='an operator .* is of no known size'):
        check_for_tensorrt(onnx.load(of_open_sizes[1]))
    model = onnx.load(for_tensorrt[2])
    model.graph.node[0].domain = 'mine'
    model.opset_import.append(onnx.helper.make_opsetid('mine', 1))
    with pytest.raises(ValueError, match='of mine, which TensorRT does not know'):
        check_for_tensorrt(model)


@pytest.mark.skipif('TensorrtExecutionProvider' not in onnxruntime.get_available_providers(),
                    reason='needs ONNX Runtime with TensorRT, on a GPU')
def test_tensorrt_gives_the_same_candidates(for_tensorrt):
    images = {'images': images_of(SIZES[0], 2).float().numpy()}
    found, expected = (
        onnxruntime.InferenceSession(for_tensorrt[2], providers=[provider]).run(None, images)
        for provider in ('TensorrtExecutionProvider', 'CPUExecutionProvider'))
    np.testing.assert_allclose(np.sort(found[1]), np.sort(expected[1]), atol=1e-2)


def test_quotients_are_one_operator(tmp_path):
    class Quotient(torch.nn.Module):
        def forward(self, x):
            return quotient(x, 7)

    x = torch.arange(50)
    model = to_onnx(Quotient(), [x], ['x'])
    assert [node.op_type for node in model.graph.node] == ['Div']
    write_onnx(model, tmp_path / 'q.onnx')
    [found] = open_session(tmp_path / 'q.onnx').run(None, {'x': x.numpy()})
    assert (found == quotient(x, 7).numpy()).all() and found.max() == 7


def test_impossible_forms_are_refused():
    for arguments, words in (
            (dict(image_size=(0, 64)), 'image_size'), (dict(batch_size=0), 'batch_size'),
            (dict(max_candidates=0), 'max_candidates'),
            (dict(precision='int4'), "precision is 'int4', but must be one of fp32, fp16, int8"),
            (dict(target='phone'), "target is 'phone', but must be one of any, tensorrt"),
            (dict(target='tensorrt', is_dynamic=True), '--dynamic .* --target tensorrt needs one size'),
            (dict(target='tensorrt', max_candidates=4000), 'TensorRT sorts at most 3840')):
        with pytest.raises(ValueError, match=words):
            Form(**arguments)
    with pytest.raises(ValueError, match="outputs is 'masks'"):
        ExportableDetector(None, 'masks')


def test_nms_keeps_the_same_in_onnx(tmp_path):
    class Nms(torch.nn.Module):
        def forward(self, boxes, scores):
            return keep_by_nms(boxes, scores, 0.4, 5)

    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(3, 60, 2, generator=generator)
    boxes = torch.cat([corners, corners + 0.5], -1)
    scores = torch.rand(3, 60, generator=generator) - 0.2
    scores[2] = -1  # nothing to keep
    write_onnx(to_onnx(Nms(), [boxes, scores], ['boxes', 'scores']), tmp_path / 'nms.onnx')
    kept = keep_by_nms(boxes, scores, 0.4, 5)
    assert kept.sum(1).tolist() == [5, 5, 0]
    [found] = open_session(tmp_path / 'nms.onnx').run(
        None, {'boxes': boxes.numpy(), 'scores': scores.numpy()})
    assert (kept.numpy() == found).all()


@pytest.mark.parametrize(('options', 'arguments', 'words'), [
    ({}, dict(all_exits=True), 'only a mmnasfpn.AnytimeDetector has exits'),
    ({'model.test_cfg.nms.type': 'soft_nms'}, {}, "ONNX has only dict\\(type='nms'"),
    ({'test_dataloader.dataset.pipeline': []}, {}, 'give --image-size'),
])
def test_what_cannot_be_exported_is_refused(lively_config, tmp_path, options, arguments, words):
    cfg, checkpoint = lively_config
    cfg.merge_from_dict(options)
    with pytest.raises(ValueError, match=words):
        export_checkpoint(cfg, checkpoint, tmp_path / 'not.onnx', **arguments)
    assert not list(tmp_path.glob('not*'))


def test_heads_that_decode_their_own_way_export_raw_only(tmp_path):
    detector = build('GFL', tmp_path)
    with pytest.raises(ValueError, match='GFLHead decodes .*_predict_by_feat_single.*--raw'):
        ExportableDetector(detector)
    with torch.no_grad():
        assert len(ExportableDetector(detector, 'raw')(images_of(SIZES[1], 1).float())) == 10
    with pytest.raises(ValueError, match='only single-stage'):
        ExportableDetector(build('Faster R-CNN', tmp_path))


def test_another_onnx_model_is_refused(lively_config, tmp_path):
    cfg, _ = lively_config
    (tmp_path / 'text.onnx').write_text('text')
    for name, error, words in (('text.onnx', ValueError, 'no model that ONNX Runtime can run'),
                               ('none.onnx', FileNotFoundError, 'no such file')):
        with pytest.raises(error, match=words):
            evaluate(cfg, str(tmp_path / name))
    for switch in (dict(tta=True), dict(fuse=True), dict(channels_last=True), dict(dtype='bf16')):
        with pytest.raises(ValueError, match='--tta, --channels-last, --dtype, --fuse and --compile'):
            evaluate(cfg, str(tmp_path / 'text.onnx'), **switch)


def test_the_example_of_the_page_on_export(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'model.onnx').symlink_to(exported)
    text = (REPO / 'docs/export.md').read_text()
    block = re.search(r'```python\n(.*?)```', text, re.DOTALL).group(1)
    name = re.search(r"imread\('(.*?)'\)", block).group(1)
    size = open_session(exported).get_inputs()[0].shape[2:]
    mmcv.imwrite(images_of(size, 1)[0].permute(1, 2, 0).numpy(), name)
    exec(block, {})
    assert len(capsys.readouterr().out.splitlines()) > 20
