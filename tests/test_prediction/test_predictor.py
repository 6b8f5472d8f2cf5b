"""One prediction after the other, equal to what testing gives."""
import contextlib
import copy
import json
import weakref
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.hooks import EMAHook
from onnx import TensorProto, helper, numpy_helper

from mmnasfpn.anytime.calibrate import calibrate
from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.engine.config import load_config
from mmnasfpn.errors import ConfigError, UsageError
from mmnasfpn.export.onnx_detector import METADATA
from mmnasfpn.models.detectors.calibration import CalibrationError
from mmnasfpn.prediction import Predictor, Speed, predict
from mmnasfpn.prediction.inputs import find_sources
from tests.test_prediction.conftest import save_lively, write_video


def assert_same(found, expected, tolerance=0.0):
    assert len(found.boxes) == len(expected.boxes) > 0
    assert found.names == expected.names
    np.testing.assert_allclose(found.scores, expected.scores, atol=tolerance)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=100 * tolerance)


def test_predict_yields_boxes_scores_and_names_of_each_image(tiny):
    found = list(predict(tiny.config, tiny.checkpoint, [tiny.images], batch_size=3))
    assert [prediction.path for prediction in found] == [
        str(path) for path in sorted(tiny.images.iterdir())]
    for prediction in found:
        assert prediction.boxes.shape == (8, 4) and prediction.scores.shape == (8,)
        assert (np.diff(prediction.scores) <= 0).all()
        assert prediction.names == [prediction.classes[label] for label in prediction.labels]
        assert (prediction.width, prediction.height, prediction.frame) == (128, 128, None)


def test_the_size_of_a_batch_does_not_change_results(predictor, tiny):
    for one, three in zip(predictor([tiny.images]), predictor([tiny.images], batch_size=3), strict=True):
        assert_same(three, one, 1e-5)


def test_images_of_several_sizes_in_a_batch_are_as_in_a_test(predictor, picture, tiny):
    images = [picture, picture[:50], picture[:, :90]]
    pipeline = Compose([dict(type='mmdet.LoadImageFromNDArray'),
                        *load_config(tiny.config).test_dataloader.dataset.pipeline[1:]])
    batch = pseudo_collate([pipeline(dict(img=image, img_id=0)) for image in images])
    with torch.no_grad():
        expected = predictor.model.test_step(batch)
    for found, sample in zip(predictor(images, batch_size=3), expected, strict=True):
        assert np.array_equal(found.boxes, sample.pred_instances.bboxes.numpy())
        assert np.array_equal(found.scores, sample.pred_instances.scores.numpy())


def test_a_file_an_array_and_a_frame_of_the_same_pixels_give_the_same(predictor, picture, tmp_path):
    (frame, *_) = predictor([write_video(tmp_path / 'v.mp4', picture, 2, size=(128, 128))])
    cv2.imwrite(str(tmp_path / 'a.png'), frame.image)
    of_file, of_array = predictor([tmp_path / 'a.png', frame.image])
    assert frame.frame == 0 and frame.fps == 12.5
    assert_same(of_file, frame)
    assert_same(of_array, frame)


def test_results_and_images_are_let_go(predictor, picture):
    images = []
    for prediction in predictor([picture.copy() for _ in range(12)]):
        images.append(weakref.ref(prediction.instances))
        assert sum(image() is not None for image in images) <= 2
    assert len(images) == 12


def test_only_what_is_asked_for_is_read(predictor, picture, tmp_path, monkeypatch):
    read = []
    take = predictor.pipeline.take
    monkeypatch.setattr(predictor.pipeline, 'take', lambda *args: read.append(1) or take(*args))
    predictions = predictor([write_video(tmp_path / 'v.mp4', picture, 20)], batch_size=2)
    assert not read
    next(predictions)
    predictions.close()
    assert len(read) == 2  # on a CPU, this batch alone


def test_detections_of_low_scores_and_other_classes_are_left_out(predictor, tiny):
    every = list(predictor([tiny.images]))
    score = float(np.median([prediction.scores for prediction in every]))
    some = predictor([tiny.images], score_thr=score, classes=['triangle', 'circle'])
    left_out = set()
    for prediction, kept in zip(every, some, strict=True):
        keep = (prediction.scores >= score) & (prediction.labels != 1)
        assert np.array_equal(kept.boxes, prediction.boxes[keep])
        left_out |= set(zip(prediction.scores >= score, prediction.labels != 1, strict=True))
    assert len(left_out) == 4  # of all kinds


def test_classes_are_those_of_the_checkpoint_and_without_them_those_of_the_config(tiny, tmp_path):
    other = save_lively(tiny.config, tmp_path / 'other.pth', ('a', 'b', 'c'))
    assert Predictor(tiny.config, other).classes == ('a', 'b', 'c')
    torch.save(torch.load(tiny.checkpoint)['state_dict'], tmp_path / 'bare.pth')
    assert Predictor(tiny.config, tmp_path / 'bare.pth').classes == ('circle', 'square', 'triangle')


def test_weights_are_the_averaged_ones_after_a_training_with_ema(tiny, predictor, tmp_path):
    hook = EMAHook(momentum=0.5)
    runner = SimpleNamespace(model=copy.deepcopy(predictor.model), iter=0)
    hook.before_run(runner)
    with torch.no_grad():
        for parameter in runner.model.parameters():
            parameter += 1
    for _ in range(2):  # the first takes the weights as they are
        hook.after_train_iter(runner, 0)
    checkpoint = dict(state_dict=runner.model.state_dict())
    hook.before_save_checkpoint(runner, checkpoint)
    torch.save(checkpoint, tmp_path / 'ema.pth')
    loaded = Predictor(tiny.config, tmp_path / 'ema.pth').model
    averaged = dict(hook.ema_model.module.named_parameters())
    for name, value in loaded.named_parameters():
        assert torch.equal(value, averaged[name])


def test_a_chosen_exit_is_that_of_the_config(tiny):
    every = [[p.scores for p in predict(tiny.anytime, tiny.anytime_checkpoint, [tiny.images],
                                        exit_stack=k)] for k in (1, 2)]
    assert not np.array_equal(every[0], every[1])
    for k in (1, 2):
        cfg = load_config(tiny.anytime, cfg_options={'model.test_cfg.exit_stack': k})
        found = list(predict(cfg, tiny.anytime_checkpoint, [tiny.images]))
        assert {p.exit_stack for p in found} == {k}
        assert np.array_equal([p.scores for p in found], every[k - 1])


def test_a_deadline_chooses_the_exit_and_images_of_other_sizes_are_named(tiny, picture, tmp_path):
    cfg = load_config(tiny.anytime)
    calibration, _ = calibrate(cfg, str(tiny.anytime_checkpoint), image_size=(128, 128), num_runs=3)
    calibration.save(tmp_path / 'c.json')
    latencies = calibration.inputs[0].exits
    for deadline_ms, expected in ((1e6, 2), (latencies[1] / 1e6, 1)):
        skipped: dict = {}
        warned = pytest.warns(RuntimeWarning, match='no exit takes')
        with warned if expected == 1 else contextlib.nullcontext():
            found = list(predict(cfg, tiny.anytime_checkpoint, [picture, picture[:50]],
                                 deadline_ms=deadline_ms, calibration=tmp_path / 'c.json',
                                 skip=skipped.__setitem__))
        assert [p.exit_stack for p in found] == [expected]
        assert list(skipped) == ['array 1'] and 'inputs of other sizes' in skipped['array 1']


def write_onnx(path, classes):
    """Write a model as tools/export_onnx.py does, which finds the same box in each image of 96x128."""
    values = dict(boxes=np.array([[[10, 20, 30, 60], [0, 0, 9, 9]]], np.float32),
                  scores=np.array([[0.75, 0]], np.float32), labels=np.array([[2, -1]]))
    tensors = {name: numpy_helper.from_array(value) for name, value in values.items()}
    graph = helper.make_graph(
        [helper.make_node('Constant', [], [name], value=value) for name, value in tensors.items()], 'g',
        [helper.make_tensor_value_info('images', TensorProto.FLOAT, [1, 3, 96, 128])],
        [helper.make_tensor_value_info(name, value.data_type, value.dims)
         for name, value in tensors.items()])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid('', 18)])
    about = dict(outputs='detections', classes=classes, background=[0.0, 0.0, 0.0])
    helper.set_model_props(model, {METADATA: json.dumps(about)})
    onnx.save(model, path)


def test_an_exported_model_detects_and_images_too_large_for_it_are_named(tiny, picture, tmp_path):
    write_onnx(tmp_path / 'm.onnx', ['a', 'b', 'c'])
    skipped = {}
    inputs = [picture[:50], picture, cv2.resize(picture, (256, 128))]  # which are resized to 128 columns
    found = list(Predictor(tiny.config, tmp_path / 'm.onnx')(inputs, 3, skip=skipped.__setitem__))
    assert [(p.path, p.names) for p in found] == [('array 0', ['c']), ('array 2', ['c'])]
    assert np.array_equal(found[0].boxes, [[10, 20, 30, 50]])  # it ends with the image
    assert np.array_equal(found[1].boxes, [[20, 40, 60, 120]])
    assert list(skipped) == ['array 1'] and 'takes at most 96x128' in skipped['array 1']


@pytest.mark.parametrize(('options', 'words'), [
    (dict(exit_stack=1), 'export all exits'), (dict(device='cpu'), 'cannot change an exported'),
    (dict(speed=Speed('bf16')), 'cannot change an exported model')])
def test_options_that_cannot_change_an_exported_model_are_refused(tiny, tmp_path, options, words):
    write_onnx(tmp_path / 'm.onnx', ['a', 'b', 'c'])
    with pytest.raises(UsageError, match=words):
        Predictor(tiny.config, tmp_path / 'm.onnx', **options)


@pytest.mark.parametrize('speed', [Speed('bf16'), Speed(channels_last=True), Speed(fuse=True)])
def test_ways_to_compute_faster_find_about_the_same(tiny, predictor, speed):
    faster = Predictor(tiny.config, tiny.checkpoint, speed=speed)
    for found, expected in zip(faster([tiny.images]), predictor([tiny.images]), strict=True):
        assert found.boxes.dtype == np.float32
        np.testing.assert_allclose(found.scores, expected.scores, atol=0.05 if speed.dtype == 'bf16'
                                   else 1e-4)


@pytest.mark.parametrize(('options', 'error', 'words'), [
    (dict(exit_stack=1), UsageError, 'but the model is a RetinaNet: leave them out'),
    (dict(deadline_ms=5), UsageError, 'but the model is a RetinaNet'),
    (dict(device='cuda:77'), UsageError, "--device is 'cuda:77', which cannot be used"),
    (dict(device='gpu'), UsageError, "--device is 'gpu', which cannot be used"),
])
def test_impossible_options_of_a_plain_detector_are_refused(tiny, options, error, words):
    with pytest.raises(error, match=words):
        Predictor(tiny.config, tiny.checkpoint, **options)


@pytest.mark.parametrize(('options', 'error', 'words'), [
    (dict(exit_stack=3), UsageError, '--exit is 3, but the exits of this detector are 1, 2'),
    (dict(exit_stack=1, deadline_ms=5), UsageError, 'leave one out'),
    (dict(deadline_ms=5), UsageError, '--deadline-ms needs --calibration'),
    (dict(calibration='c.json'), UsageError, '--deadline-ms needs --calibration'),
    (dict(deadline_ms=5, calibration='none.json'), CalibrationError, 'none.json: there is no such file'),
    (dict(deadline_ms=5, calibration='c', speed=Speed('bf16')), UsageError, 'leave one out'),
])
def test_impossible_options_of_an_anytime_detector_are_refused(tiny, options, error, words):
    with pytest.raises(error, match=words):
        Predictor(tiny.anytime, tiny.anytime_checkpoint, **options)


def test_impossible_options_of_a_call_are_refused_at_once(predictor, picture):
    for options, words in (
            (dict(batch_size=0), 'batch_size is 0'), (dict(score_thr=2), '--score-thr is 2'),
            (dict(classes=['cat']), "--classes has 'cat', but the detector knows 'circle'")):
        with pytest.raises(ValueError, match=words):
            predictor([picture], **options)
    with pytest.raises(FileNotFoundError):
        predictor(['none'])


def test_a_checkpoint_of_another_config_is_refused_by_name(tiny, tmp_path):
    cfg = load_config(tiny.config, cfg_options={'model.neck.stack_times': 1})
    with pytest.raises(CheckpointError, match=r'plain.pth does not fit .*plain.py: .*stack_times'):
        Predictor(cfg, tiny.checkpoint)
    with pytest.raises(FileNotFoundError, match='none.pth'):
        Predictor(tiny.config, tmp_path / 'none.pth')


def test_a_config_without_classes_and_a_checkpoint_without_them_are_refused(tiny, tmp_path):
    torch.save(torch.load(tiny.checkpoint)['state_dict'], tmp_path / 'bare.pth')
    cfg = load_config(tiny.config)
    cfg.test_dataloader.dataset = ConfigDict(
        type='Unknown', pipeline=cfg.test_dataloader.dataset.pipeline)
    with pytest.raises(ConfigError, match='what the classes are'):
        Predictor(cfg, tmp_path / 'bare.pth')


def test_sources_that_were_found_are_taken_as_they_are(predictor, tiny):
    sources = find_sources([tiny.images])
    assert [p.source for p in predictor(sources)] == sources
