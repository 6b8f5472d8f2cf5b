"""Generated shapes: seeded, valid COCO, written once and whole."""
import itertools
import json
import multiprocessing
import os

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmnasfpn.datasets import CLASSES, ShapesDataset, make_shapes
from mmnasfpn.datasets.shapes import OBJECT_SIZES, _paint


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp('data') / 'shapes', 30, 10, 256, seed=1)


def annotations(root, split='train'):
    return json.loads((root / f'annotations/{split}.json').read_text())


def test_shapes_are_valid_coco(root):
    coco = COCO(str(root / 'annotations/train.json'))
    assert len(coco.imgs) == 30
    assert tuple(c['name'] for c in coco.cats.values()) == CLASSES and len(CLASSES) >= 3
    for image in coco.imgs.values():
        pixels = cv2.imread(str(root / 'train' / image['file_name']))
        assert pixels.shape == (image['height'], image['width'], 3) == (256, 256, 3)
    assert {ann['category_id'] for ann in coco.anns.values()} == {1, 2, 3}


def test_objects_are_12_to_110_pixels_inside_the_image_and_apart(root):
    data = annotations(root)
    sizes = []
    for _, group in itertools.groupby(data['annotations'], key=lambda ann: ann['image_id']):
        boxes = np.array([ann['bbox'] for ann in group])
        assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 256).all()
        sizes.extend(boxes[:, 2:].max(axis=1))
        for a, b in itertools.combinations(boxes, 2):
            assert ((a[:2] + a[2:] < b[:2]) | (b[:2] + b[2:] < a[:2])).any()
    assert OBJECT_SIZES == (12, 110)
    assert min(sizes) >= 11.99 and max(sizes) <= 110.01
    assert min(sizes) < 20 and max(sizes) > 80  # several scales


def test_boxes_and_areas_are_those_of_the_drawn_masks(root):
    coco = COCO(str(root / 'annotations/val.json'))
    for ann in coco.anns.values():
        rows, columns = np.nonzero(coco.annToMask(ann))
        x, y, w, h = ann['bbox']
        mask_box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert np.abs(np.array(mask_box) - (x, y, x + w, y + h)).max() <= 1.5
        assert abs(len(rows) - ann['area']) <= 0.1 * ann['area'] + 8


def test_objects_stand_where_their_boxes_say():
    image = np.full((64, 64, 3), 128, np.uint8)
    _paint(np.random.default_rng(0), image, np.array([[10., 20.], [30., 20.], [30., 50.], [10., 50.]]))
    rows, columns = np.nonzero(np.abs(image.astype(int) - 128).max(axis=2) > 40)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (10, 20, 30, 50)


def test_the_same_seed_draws_the_same_and_another_does_not(root, tmp_path):
    again = make_shapes(tmp_path / 'again', 3, 1, 256, seed=1)
    other = make_shapes(tmp_path / 'other', 3, 1, 256, seed=2)
    for name in ('000001.jpg', '000003.jpg'):
        content = (root / 'train' / name).read_bytes()
        assert (again / 'train' / name).read_bytes() == content
        assert (other / 'train' / name).read_bytes() != content
    assert (root / 'val/000001.jpg').read_bytes() != (root / 'train/000001.jpg').read_bytes()


def test_shapes_are_written_once(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    make_shapes(root, 30, 10, 256, seed=1)
    assert {path: path.stat().st_mtime_ns for path in root.rglob('*')} == before


def test_refuses_to_replace_something_else(root, tmp_path):
    with pytest.raises(FileExistsError, match=r"'seed': 1.*'seed': 5.*delete it"):
        make_shapes(root, 30, 10, 256, seed=5)
    (tmp_path / 'mine.txt').write_text('keep')
    with pytest.raises(FileExistsError, match='something else'):
        make_shapes(tmp_path, 2, 2)
    assert (tmp_path / 'mine.txt').read_text() == 'keep'


def test_an_interrupted_call_leaves_nothing_half_made(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imwrite', lambda *args: False)
    with pytest.raises(OSError, match='disk full'):
        make_shapes(tmp_path / 'shapes', 2, 2)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once_agree(tmp_path):
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=make_shapes, args=(tmp_path / 'shapes', 6, 2, 128))
                 for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert os.listdir(tmp_path) == ['shapes']
    assert len(annotations(tmp_path / 'shapes')['images']) == 6


@pytest.mark.parametrize('argument', [dict(num_train=0), dict(num_val=1.5), dict(image_size=100),
                                      dict(seed=-1), dict(num_train=True)])
def test_impossible_arguments_are_named(tmp_path, argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        make_shapes(tmp_path / 'shapes', **argument)


def test_the_dataset_draws_what_is_missing_and_loads_boxes(tmp_path):
    dataset = ShapesDataset(
        data_root=str(tmp_path / 'shapes'), shapes=dict(num_train=3, num_val=2, image_size=128),
        ann_file='annotations/val.json', data_prefix=dict(img='val/'), pipeline=[])
    assert len(dataset) == 2
    info = dataset.get_data_info(0)
    assert info['instances'] and os.path.isfile(info['img_path'])
    assert dataset.metainfo['classes'] == CLASSES
