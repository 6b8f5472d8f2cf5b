"""Images of what was detected."""
import pickle

import cv2
import torch

from mmnasfpn.datasets import make_shapes
from mmnasfpn.visualization.predictions import draw_predictions


def test_predictions_are_drawn_beside_the_ground_truth(tmp_path):
    root = make_shapes(tmp_path / 'shapes', 1, 3, 128)
    predictions = [dict(img_id=i, pred_instances=dict(
        bboxes=torch.tensor([[10., 10., 60., 60.]]), scores=torch.tensor([score]),
        labels=torch.tensor([1]))) for i, score in ((2, 0.9), (1, 0.1), (3, 0.5))]
    (tmp_path / 'p.pkl').write_bytes(pickle.dumps(predictions))
    images = []
    for threshold in (0.0, 0.3, 0.95):
        draw_predictions(tmp_path / 'p.pkl', root / 'annotations/val.json', root / 'val',
                         tmp_path / 'grid.png', score_thr=threshold)
        images.append(cv2.imread(str(tmp_path / 'grid.png')))
    assert images[0].shape == (2 * 136 + 8, 2 * 264 + 8, 3)
    assert (images[0] != images[1]).any() and (images[1] != images[2]).any()
