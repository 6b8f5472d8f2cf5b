"""What the tool writes: painted files, videos, COCO results, JSON lines; and what it refuses."""
import contextlib
import dataclasses
import json
import os
import resource
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.fileio import load
from pycocotools import mask as mask_util
from pycocotools.coco import COCO

from mmnasfpn.engine.run import evaluate, load_config
from mmnasfpn.errors import UsageError
from mmnasfpn.prediction import outputs
from mmnasfpn.prediction.coco import coco_results
from mmnasfpn.prediction.inputs import Source
from mmnasfpn.prediction.run import predict_files
from tests.conftest import run_tool_here
from tests.test_prediction.conftest import frames_of, write_video


@pytest.fixture
def run(monkeypatch, tmp_path, tiny):
    """Return a function that runs the tool in this process, in an empty folder, with its status."""
    monkeypatch.chdir(tmp_path)

    def run_one(*arguments, config=tiny.config, checkpoint=tiny.checkpoint):
        with pytest.raises(SystemExit) as end:
            run_tool_here(monkeypatch, 'predict', config, checkpoint, *arguments)
        return int(end.value.code or 0)

    return run_one


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_good_images_are_painted_and_broken_ones_named_at_the_end(run, tmp_path, picture, capsys):
    for name in ('a.jpg', 'sub/a.jpg', 'sub/b.pgm', 'odd.bmp'):
        (tmp_path / 'in' / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / 'in' / name), picture[:61, :, 0] if 'pgm' in name else picture[:61])
    (tmp_path / 'in/sub/0.jpg').write_text('no image')
    assert run('in', '--out', 'out', '--batch-size', 2, '--jsonl', 'l.jsonl') == 1
    printed = capsys.readouterr().out
    assert '4 images in ' in printed and 'images/s' in printed
    assert 'skipped: in/sub/0.jpg: cannot be decoded' in printed
    painted = sorted(os.path.relpath(path, tmp_path / 'out') for path in tmp_path.glob('out/**/*.*'))
    assert painted == ['a.jpg', 'odd.bmp', 'sub/a.jpg', 'sub/b.pgm.jpg']
    assert cv2.imread('out/odd.bmp').shape == (61, 128, 3)
    assert [line['file'] for line in lines_of(tmp_path / 'l.jsonl')] == [
        'in/a.jpg', 'in/odd.bmp', 'in/sub/a.jpg', 'in/sub/b.pgm']


def test_boxes_are_painted_in_the_colours_of_the_classes_and_no_pixels_elsewhere(predictor, picture):
    prediction = next(iter(predictor([picture])))
    instances = prediction.instances[:1]
    instances.bboxes[:] = instances.bboxes.new_tensor([[40, 50, 100, 110]])
    plain, painted = (outputs.paint(dataclasses.replace(prediction, instances=some), predictor.palette)
                      for some in (instances[:0], instances))
    changed = (plain != painted).any(axis=2)
    assert painted.shape == picture.shape
    assert changed[80, 38:43].any() and changed[80, 97:103].any() and changed[108:113, 70].any()
    assert not changed[:, :35].any() and not changed[:45].any() and not changed[115:].any()
    colour = predictor.palette[prediction.labels[0]]
    assert np.abs(painted[105, 40].astype(int)[::-1] - colour).max() < 60  # over 20% of the image


def test_a_name_with_a_dollar_is_painted(predictor, picture):
    prediction = next(iter(predictor([picture])))
    outputs.paint(dataclasses.replace(prediction, classes=('$', '$x_', '\\alpha$')))


def test_videos_keep_size_rate_and_number_of_frames(run, tmp_path, picture):
    fps = {'1.mp4': 12.5, '2.avi': 29.97, '3.3gp': 10.0}
    given = {}
    for number, name in enumerate(fps, 2):
        write_video(tmp_path / name, picture, number, fps[name], (32 * number, 64))
        given[name] = frames_of(tmp_path / name)[0]
    cv2.imwrite('between.png', picture)
    assert run('1.mp4', 'between.png', '2.avi', '3.3gp', '--out', 'out', '--jsonl', 'l.jsonl') == 0
    assert sorted(os.listdir('out')) == ['1.mp4', '2.avi', '3.3gp.mp4', 'between.png']
    for name in fps:
        frames, rate = frames_of(tmp_path / 'out' / name.replace('3gp', '3gp.mp4'))
        assert rate == pytest.approx(fps[name], abs=1e-6)
        assert [frame.shape for frame in frames] == [frame.shape for frame in given[name]]
        first, *_, last = given[name]
        found = frames[-1].astype(int)
        assert np.abs(found - last).mean() < np.abs(found - first).mean()
    assert [line['frame'] for line in lines_of(tmp_path / 'l.jsonl')] == [
        0, 1, None, 0, 1, 2, 0, 1, 2, 3]


@pytest.mark.parametrize('fps', [0.0, float('nan'), 90000.0])
def test_a_video_with_an_impossible_rate_is_painted_at_25_frames_a_second(
        predictor, picture, tmp_path, fps):
    prediction = next(iter(predictor([picture])))
    with outputs.painted(tmp_path, None, 0.5, pytest.fail) as write:
        source = Source('v.mp4', 'v.mp4', 'video')
        write(dataclasses.replace(prediction, source=source, frame=0, fps=fps))
    frames, rate = frames_of(tmp_path / 'v.mp4')
    assert len(frames) == 1 and rate == 25


def test_an_image_too_large_for_its_format_is_named_and_not_painted(predictor, picture, tmp_path):
    prediction = next(iter(predictor([picture])))
    image, skipped = np.zeros((4, 16500, 3), np.uint8), []  # WebP has 16383 columns at most
    with outputs.painted(tmp_path, None, 0.5, lambda *reason: skipped.append(reason)) as write:
        for name in ('wide.webp', 'wide.png'):
            write(dataclasses.replace(prediction, source=Source(name, name, 'image'), image=image))
    assert skipped == [('wide.webp', 'is of 16500x4 pixels, too large to be painted as .webp')]
    assert [path.name for path in tmp_path.iterdir()] == ['wide.png']


@contextlib.contextmanager
def full_disk(num_bytes):
    """Let no file get larger, as on a disk that gets full."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_files_that_do_not_fit_on_the_disk_are_errors_that_name_them(predictor, picture, tmp_path):
    prediction = next(iter(predictor([picture])))
    with (pytest.raises(OSError, match='l.jsonl'), full_disk(100),
          outputs.json_lines(tmp_path / 'l.jsonl') as write):
        write(prediction)  # a single line, of which a part is written
    frame = dataclasses.replace(prediction, source=Source('v.mp4', 'v.mp4', 'video'), frame=0)
    with (pytest.raises(OSError, match=r'v.mp4 cannot be written whole: is the disk full\?'),
          full_disk(4000), outputs.painted(tmp_path, None, 0.5, pytest.fail) as paint):
        paint(frame)
    assert [path.name for path in tmp_path.iterdir()] == ['l.jsonl']


def test_coco_results_are_those_of_a_test(run, tiny, tmp_path):
    cfg = load_config(tiny.config, tmp_path / 'w')
    cfg.experiment_name = tmp_path.name
    evaluate(cfg, str(tiny.checkpoint), out=tmp_path / 'p.pkl')
    assert run(tiny.images, '--json', 'r.json', '--no-paint', '--ann-file', tiny.ann_file,
               '--batch-size', 2) == 0
    coco = COCO(str(tiny.ann_file))
    found = coco.loadRes('r.json')
    categories = coco.getCatIds()
    for sample in load(str(tmp_path / 'p.pkl')):
        entries = found.loadAnns(found.getAnnIds(imgIds=sample['img_id']))
        instances = sample['pred_instances']
        assert len(entries) == len(instances['scores']) == 8
        assert [entry['category_id'] for entry in entries] == [
            categories[label] for label in instances['labels']]
        np.testing.assert_allclose([entry['score'] for entry in entries], instances['scores'], atol=1e-6)
        x, y, width, height = np.array([entry['bbox'] for entry in entries]).T
        np.testing.assert_allclose(np.stack([x, y, x + width, y + height], 1), instances['bboxes'],
                                   atol=1e-3)


def test_masks_are_written_as_coco_has_them(predictor, picture, tmp_path):
    prediction = next(iter(predictor([picture])))
    masks = np.random.default_rng(0).random((len(prediction.scores), 128, 128)) < 0.5
    instances = prediction.instances.clone()
    instances.masks = torch.from_numpy(masks)
    prediction = dataclasses.replace(prediction, instances=instances)
    with (coco_results(tmp_path / 'r.json', [1, 2, 3]) as write,
          outputs.json_lines(tmp_path / 'r.jsonl') as write_line):
        write(prediction)
        write_line(prediction)
    entries = json.loads((tmp_path / 'r.json').read_text())
    detections = json.loads((tmp_path / 'r.jsonl').read_text())['detections']
    for mask, entry, detection in zip(masks, entries, detections, strict=True):
        assert (mask_util.decode(entry['segmentation']) == mask).all()
        assert detection['mask'] == entry['segmentation']


def test_ids_are_running_numbers_and_those_of_the_configs_categories(run, tiny, tmp_path, picture):
    shutil.copytree(tiny.images, tmp_path / 'in')
    data = json.loads(tiny.ann_file.read_text())
    for category in data['categories']:
        category['id'] += 70
    (tmp_path / 'val.json').write_text(json.dumps(data))
    (tmp_path / 'c.py').write_text(
        f'_base_ = {str(tiny.config)!r}\n'
        'test_dataloader = dict(dataset=dict(data_root="", ann_file="val.json"))\n')
    write_video(tmp_path / 'in/v.mp4', picture, 1)
    run('in', '--json', 'r.json', config='c.py')
    entries = json.loads((tmp_path / 'r.json').read_text())
    names = {(entry['image_id'], entry['file_name'], entry.get('frame')) for entry in entries}
    files = sorted(path.name for path in tiny.images.iterdir())
    assert names == {*((number, f'in/{name}', None) for number, name in enumerate(files, 1)),
                     (5, 'in/v.mp4', 0)}
    assert {entry['category_id'] for entry in entries} <= {71, 72, 73}
    (tmp_path / 'val.json').unlink()
    run('in', '--json', 'r.json', config='c.py')
    assert {entry['category_id'] for entry in json.loads((tmp_path / 'r.json').read_text())} <= {1, 2, 3}


def test_results_without_detections_are_an_empty_list(run, tiny, tmp_path):
    run(tiny.images, '--json', 'r.json', '--jsonl', 'l.jsonl', '--score-thr', 1)
    assert json.loads((tmp_path / 'r.json').read_text()) == []
    assert [line['detections'] for line in lines_of(tmp_path / 'l.jsonl')] == [[]] * 4


def test_lines_of_json_say_all_of_an_image(run, tiny, predictor, tmp_path):
    run(tiny.images, '--jsonl', 'l.jsonl', '--score-thr', 0.5, '--classes', 'circle', 'square',
        '--exit', 1, config=tiny.anytime, checkpoint=tiny.anytime_checkpoint)
    for line, path in zip(lines_of(tmp_path / 'l.jsonl'), sorted(tiny.images.iterdir()), strict=True):
        assert (line['file'], line['frame'], line['width'], line['height'], line['exit']) == (
            str(path), None, 128, 128, 1)
        for found in line['detections']:
            assert found['class'] in ('circle', 'square') and 0.5 <= found['score'] <= 1
            x1, y1, x2, y2 = found['xyxy']
            assert 0 <= x1 <= x2 <= 128 and 0 <= y1 <= y2 <= 128


def test_what_ends_a_run_leaves_lines_and_no_half_made_file(tiny, tmp_path, picture, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paint, painted = outputs.paint, []
    write_video(tmp_path / 'v.mp4', picture, 6)

    def paint_three(*arguments):
        if len(painted) == 3:
            raise OSError('the disk is full')
        painted.append(1)
        return paint(*arguments)

    monkeypatch.setattr(outputs, 'paint', paint_three)
    with pytest.raises(OSError, match='disk'):
        predict_files(load_config(tiny.config), str(tiny.checkpoint), ['v.mp4'], 'out', 'r.json',
                      'l.jsonl')
    assert len(lines_of(tmp_path / 'l.jsonl')) == 3
    assert os.listdir('out') == [] and not list(tmp_path.glob('r.json*'))


class Camera:
    """Play OpenCV's capture of a camera that gives frames until Ctrl-C."""

    left = 3

    def __init__(self, number):
        assert number == 0

    def isOpened(self):  # noqa: N802
        return True

    def get(self, _):
        return 0.0

    def read(self):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return True, np.full((64, 96, 3), 80 * self.left, np.uint8)

    def release(self):
        pass


def test_ctrl_c_ends_a_camera_and_all_is_written(run, tmp_path, monkeypatch):
    open_video = cv2.VideoCapture
    monkeypatch.setattr(cv2, 'VideoCapture',
                        lambda name: Camera(name) if name == 0 else open_video(name))
    assert run(0, '--out', 'out', '--json', 'r.json') == 0
    monkeypatch.undo()
    frames, fps = frames_of(tmp_path / 'out/camera0.mp4')
    assert len(frames) == 3 and fps == 25 and frames[0].shape == (64, 96, 3)
    assert {entry['frame'] for entry in json.loads((tmp_path / 'r.json').read_text())} == {0, 1, 2}


def test_ctrl_c_stops_all_else(run, tmp_path, picture, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    cv2.imwrite('a.png', picture)
    monkeypatch.setattr(outputs, 'paint', stop)
    assert run('a.png', '--out', 'out', '--json', 'r.json') == 130
    assert not (tmp_path / 'r.json').exists()


@pytest.mark.parametrize(('arguments', 'status', 'words'), [
    (['a.png'], 2, 'there is nothing to write'),
    (['a.png', '--out', 'out', '--no-paint'], 2, 'there is nothing to write'),
    (['a.png', '--out', 'a.png'], 2, 'is a file: name a folder'),
    (['a.png', '--out', '.'], 2, 'a.png would be written over, but it is read'),
    (['.', '--out', 'out', '--json', 'ann.json', '--ann-file', 'ann.json'], 2, 'would be written over'),
    (['sub', 'other', '--out', 'out'], 2,
     'sub/a.png and other/a.png would both be written to out/a.png'),
    (['a.png', '--json', 'x.txt'], 2, 'x.txt must end in .json'),
    (['a.png', 'v.mp4', '--json', 'r.json', '--ann-file', 'ann.json'], 2,
     'has no image of the name of an input (a.png, v.mp4)'),
    (['a.png', '--json', 'r.json', '--ann-file', 'none.json'], 1, 'none.json: No such file'),
    (['none.png', '--out', 'out'], 1, 'there is no file or folder none.png'),
    (['empty', '--out', 'out'], 1, 'empty is a folder without an image or video'),
    (['a.png', '--out', 'out', '--exit', '1'], 2, 'but the model is a RetinaNet'),
    (['a.png', '--out', 'out', '--exit', '0'], 2, 'must be a whole number of at least 1'),
    (['a.png', '--out', 'out', '--classes', 'cat'], 2, "--classes has 'cat'"),
    (['a.png', '--out', 'out', '--score-thr', '1.5'], 2, '--score-thr is 1.5'),
])
def test_what_cannot_be_is_refused_with_one_message(
        run, tmp_path, picture, capsys, arguments, status, words):
    for name in ('a.png', 'sub/a.png', 'other/a.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(name, picture)
    write_video(tmp_path / 'v.mp4', picture, 1)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'ann.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='b.png')], annotations=[], categories=[])))
    before = (tmp_path / 'a.png').read_bytes()
    assert run(*arguments) == status
    message = ' '.join(capsys.readouterr().err.split())
    assert words in message and message.count('error: ') == 1
    assert (tmp_path / 'a.png').read_bytes() == before
    assert not (tmp_path / 'r.json').exists() and not list(tmp_path.glob('out/*'))


def test_images_of_an_annotation_file_are_found_by_the_longest_name_that_a_path_ends_in(
        tiny, tmp_path, picture):
    for name in ('b.png', 'sub/b.png', 'c.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture)
    categories = json.loads(tiny.ann_file.read_text())['categories']
    ann_file = tmp_path / 'ann.json'
    images = [dict(id=5, file_name='b.png'), dict(id=6, file_name='sub/b.png')]
    ann_file.write_text(json.dumps(dict(images=images, annotations=[], categories=categories)))
    options = dict(json_path=tmp_path / 'r.json', ann_file=ann_file)
    inputs = [tmp_path / 'b.png', tmp_path / 'sub/b.png', tmp_path / 'c.png']
    report = predict_files(load_config(tiny.config), str(tiny.checkpoint), inputs, **options)
    assert (report.num_images, report.num_left_out) == (2, 1)
    found = {(entry['image_id'], entry['file_name'])
             for entry in json.loads((tmp_path / 'r.json').read_text())}
    assert found == {(5, str(inputs[0])), (6, str(inputs[1]))}
    for broken, words in ((dict(images=[images[0]] * 2), 'has b.png twice'),
                          (dict(categories=categories[1:]), 'has no category')):
        whole = dict(images=images, annotations=[], categories=categories)
        ann_file.write_text(json.dumps(whole | broken))
        with pytest.raises(UsageError, match=words):
            predict_files(load_config(tiny.config), str(tiny.checkpoint), inputs, **options)
