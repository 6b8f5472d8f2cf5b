"""What the page on prediction shows works."""
import os
import re

import cv2
import numpy as np
import pytest

from tests.conftest import REPO
from tests.test_prediction.conftest import write_video

BLOCKS = re.findall(r'```python\n(.*?)```', (REPO / 'docs/predict.md').read_text(), re.DOTALL)


@pytest.fixture
def shown(tiny, picture, tmp_path, monkeypatch):
    """Return a function that runs the block with a text, in a folder with the files that it names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'photos').mkdir()
    cv2.imwrite('photos/a.jpg', picture)
    write_video('clip.mp4', picture, 2)
    cv2.imwrite('large.png', np.tile(picture, (4, 5, 1)))

    def run(part):
        block, = (block for block in BLOCKS if part in block)
        for name, path in (('config.py', tiny.config), ('epoch_7.pth', tiny.checkpoint)):
            assert f"'{name}'" in block
            block = block.replace(f"'{name}'", repr(str(path)))
        exec(block, names := {})
        return names

    return run


def test_a_loop_over_predictions(shown, capsys):
    found = shown('in predict(')['found']
    assert (found.path, found.frame) == ('clip.mp4', 1)
    printed = capsys.readouterr().out
    assert 'photos/a.jpg None ' in printed and 'clip.mp4 1 ' in printed


def test_a_predictor(shown):
    found = shown('predictor(')['found']
    assert set(found.names) <= {'circle'} and found.image.shape == (128, 128, 3)


def test_tiles_of_a_large_image_find_what_the_detector_finds_in_them(shown, predictor, tmp_path,
                                                                     monkeypatch):
    # sahi sets it to -1 for device='cpu'; other tests have it back.
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', os.environ.get('CUDA_VISIBLE_DEVICES', ''))
    names = shown('get_sliced_prediction')
    boxes = np.array([found.bbox.to_xyxy() for found in names['result'].object_prediction_list])
    large = cv2.imread('large.png')
    assert boxes.shape[0] > 10 and boxes.min() >= 0
    assert (boxes[:, 2] <= large.shape[1]).all() and (boxes[:, 3] <= large.shape[0]).all()
    assert boxes[:, 2].max() > 512 and boxes[:, 3].max() > 384  # beyond the first tile
    detector = names['detector']
    detector.perform_inference(np.ascontiguousarray(large[:256, :256, ::-1]))
    detector.convert_original_predictions(shift_amount=[200, 100], full_shape=[512, 640])
    found, = predictor([large[:256, :256]], score_thr=0.3)
    tile = detector.object_prediction_list
    assert len(tile) == len(found.boxes) > 0
    for one, box, score, name in zip(tile, found.boxes, found.scores, found.names, strict=True):
        assert (one.category.name, one.score.value) == (name, pytest.approx(score))
        shifted = one.get_shifted_object_prediction().bbox.to_xyxy()
        np.testing.assert_allclose(shifted, np.add(box, (200, 100, 200, 100)), atol=1)
    assert list((tmp_path / 'tiled').iterdir())
