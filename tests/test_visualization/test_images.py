"""Pictures of a run."""
import json
import pickle

import cv2
import pytest
import torch

from mmnasfpn.datasets import make_shapes
from mmnasfpn.visualization.images import draw_curves, draw_predictions, read_log


def test_predictions_are_drawn_beside_the_ground_truth(tmp_path):
    root = make_shapes(tmp_path / 'shapes', 1, 3, 128)
    predictions = [dict(img_id=i, pred_instances=dict(
        bboxes=torch.tensor([[10., 10., 60., 60.]]), scores=torch.tensor([score]),
        labels=torch.tensor([1]))) for i, score in ((2, 0.9), (1, 0.1), (3, 0.5))]
    (tmp_path / 'p.pkl').write_bytes(pickle.dumps(predictions))
    pictures = []
    for threshold in (0.0, 0.3, 0.95):
        draw_predictions(tmp_path / 'p.pkl', root / 'annotations/val.json', root / 'val',
                         tmp_path / 'grid.png', score_thr=threshold)
        pictures.append(cv2.imread(str(tmp_path / 'grid.png')))
    assert pictures[0].shape[1] > 1000
    assert (pictures[0] != pictures[1]).any() and (pictures[1] != pictures[2]).any()


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


def test_curves_without_a_log_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match='no training log'):
        draw_curves(tmp_path, tmp_path / 'curves.png')
