"""Curves of a run."""
import json

import cv2
import pytest

from mmnasfpn.visualization.curves import draw_curves, read_log


def write_log(work_dir, run, lines):
    folder = work_dir / run / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(lines))


def test_the_log_of_a_killed_and_resumed_run_is_joined(tmp_path):
    write_log(tmp_path, '20260101_000000', [
        *(json.dumps(dict(loss=9 - step, step=step, epoch=1)) for step in (1, 2, 3)),
        json.dumps({'coco/bbox_mAP': 0.1, 'step': 1}), '{"loss": 1.0, "st'])
    write_log(tmp_path, '20260101_000100', [
        json.dumps(dict(loss=0.5, step=3, epoch=2)), json.dumps({'coco/bbox_mAP': 0.2, 'step': 2})])
    losses, validations = read_log(tmp_path)
    assert {step: entry['loss'] for step, entry in losses.items()} == {1: 8, 2: 7, 3: 0.5}
    assert {epoch: entry['coco/bbox_mAP'] for epoch, entry in validations.items()} == {1: 0.1, 2: 0.2}
    draw_curves(tmp_path, tmp_path / 'curves.png')
    assert cv2.imread(str(tmp_path / 'curves.png')) is not None


def test_a_run_without_epochs_is_drawn_over_its_iterations(tmp_path, monkeypatch):
    write_log(tmp_path, '1', [*(json.dumps(dict(loss=1.0, step=step, iter=step)) for step in (50, 100)),
                              json.dumps({'coco/bbox_mAP': 0.1, 'step': 100})])
    labels = []
    monkeypatch.setattr('matplotlib.axes.Axes.set_xlabel', lambda self, label: labels.append(label))
    draw_curves(tmp_path, tmp_path / 'curves.png')
    assert labels == ['iteration', 'iteration']


def test_curves_without_a_log_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match='no training log'):
        draw_curves(tmp_path, tmp_path / 'curves.png')


def test_validations_of_a_training_by_iterations_are_at_their_steps(tmp_path):
    write_log(tmp_path, '20260101_000000', [
        json.dumps(dict(loss=1.0, step=10)), json.dumps({'coco/bbox_mAP': 0.1, 'step': 0}),
        json.dumps(dict(loss=0.5, step=20)), json.dumps({'coco/bbox_mAP': 0.2, 'step': 20})])
    _, validations = read_log(tmp_path)
    assert {step: entry['coco/bbox_mAP'] for step, entry in validations.items()} == {10: 0.1, 20: 0.2}
    draw_curves(tmp_path, tmp_path / 'curves.png')
    assert cv2.imread(str(tmp_path / 'curves.png')) is not None
