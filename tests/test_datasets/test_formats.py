"""Data sets in the formats of other tools, as the docs have it."""
import json
import re

import cv2
import numpy as np
import pytest

from mmnasfpn.datasets import fix_annotations, read_annotations
from mmnasfpn.datasets.check import check_file
from mmnasfpn.engine.preflight import check_data
from mmnasfpn.engine.run import load_config
from tests.conftest import REPO
from tests.test_datasets.voc_folders import make_like_bccd

PAGE = ''.join((REPO / f'docs/{name}.md').read_text() for name in ('data', 'finetuning'))
CLASSES = ('bolt', 'nut')
KEYS = ('train_dataloader', 'val_dataloader')


def block_with(words):
    return next(block for block in re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL) if words in block)


#: Class, centre, width and height of the boxes of each image, in pixels of 200 x 100.
YOLO = dict(a=[(1, 100, 50, 51, 40), (0, 31, 20, 21, 11)], b=[(0, 60, 30, 40, 20)], c=[])


@pytest.mark.parametrize('names', ['{0: bolt, 1: nut}', '[bolt, nut]'])
def test_a_yolo_folder_becomes_cocos_in_three_lines(tmp_path, monkeypatch, names):
    for folder in ('images/train', 'labels/train'):
        (tmp_path / 'yolo' / folder).mkdir(parents=True)
    (tmp_path / 'yolo/data.yaml').write_text(f'train: images/train\nnc: 2\nnames: {names}\n')
    for name, boxes in YOLO.items():
        cv2.imwrite(str(tmp_path / f'yolo/images/train/{name}.jpg'), np.zeros((100, 200, 3), np.uint8))
        (tmp_path / f'yolo/labels/train/{name}.txt').write_text(''.join(
            f'{label} {x / 200} {y / 100} {width / 200} {height / 100}\n'
            for label, x, y, width, height in boxes))
    monkeypatch.chdir(tmp_path)
    code = block_with('from_yolo(')
    assert len([line for line in code.splitlines() if line]) == 3
    used = {}
    exec(code, used)
    assert tuple(used['data'].classes) == CLASSES
    assert check_file('yolo/train.json', 'yolo/images/train')['faults'] == []
    file = read_annotations('yolo/train.json')
    assert tuple(file.categories) == CLASSES
    found = {name: [] for name in YOLO}
    for image, label, (x, y, width, height) in zip(
            file.image_of, file.category_of, file.boxes, strict=True):
        name = file.columns['images']['file_name'][image].removesuffix('.jpg')
        found[name].append((label, x + width / 2, y + height / 2, width, height))
    for name, boxes in YOLO.items():
        assert np.allclose(np.reshape(found[name], (-1, 5)), np.reshape(boxes, (-1, 5)), atol=1e-3)


def test_each_split_of_a_voc_folder_becomes_a_file_in_cocos_format(tmp_path, monkeypatch):
    root = make_like_bccd(tmp_path / 'data/bccd', CLASSES, (3, 2))
    expected = {}
    for split in ('trainval', 'test'):
        path = root / f'annotations/{split}.json'
        expected[split] = json.loads(path.read_text())
        path.unlink()
    monkeypatch.chdir(tmp_path)
    exec(block_with('from_pascal_voc('), {})
    for split, data in expected.items():
        written = json.loads((root / f'annotations/{split}.json').read_text())
        assert boxes_by_name(written) == boxes_by_name(data)
        assert check_file(root / f'annotations/{split}.json', root / 'images')['faults'] == []


def boxes_by_name(data):
    images = {image['id']: image['file_name'] for image in data['images']}
    names = {category['id']: category['name'] for category in data['categories']}
    return sorted((images[one['image_id']], names[one['category_id']],
                   *(one['bbox'][i] + (one['bbox'][i - 2] if i > 1 else 0) for i in range(4)))
                  for one in data['annotations'])


def test_the_config_of_a_voc_folder_passes_the_checks(tmp_path, monkeypatch):
    root = make_like_bccd(tmp_path / 'bccd', CLASSES, (2, 2))
    (root / 'images').rename(root / 'voc/JPEGImages')
    for old, new in (('trainval', 'train'), ('test', 'val')):
        (root / f'voc/ImageSets/Main/{old}.txt').rename(root / f'voc/ImageSets/Main/{new}.txt')
    (tmp_path / 'data').mkdir()
    (root / 'voc').rename(tmp_path / 'data/mine')
    (tmp_path / 'mine.py').write_text(block_with("'XMLDataset'"))
    monkeypatch.chdir(tmp_path)
    assert check_data(load_config('mine.py'), KEYS).warnings == ()


def write_roboflow(folder):
    """Write an export as Roboflow's: a category for the project, images beside the file, ids from 0."""
    for split in ('train', 'valid'):
        (folder / split).mkdir(parents=True)
        names = [f'{split}{number}_jpg.rf.0a1b.jpg' for number in range(2)]
        for name in names:
            cv2.imwrite(str(folder / split / name), np.zeros((100, 200, 3), np.uint8))
        data = dict(
            info={}, licenses=[],
            categories=[dict(id=0, name='fasteners', supercategory='none'), *(
                dict(id=number, name=name, supercategory='fasteners')
                for number, name in enumerate(CLASSES, 1))],
            images=[dict(id=number, license=1, file_name=name, height=100, width=200, extra={})
                    for number, name in enumerate(names)],
            annotations=[dict(id=number, image_id=number % 2, category_id=1 + number // 2, area=1200,
                              bbox=[10, 20, 40, 30], segmentation=[], iscrowd=0) for number in range(4)])
        (folder / split / '_annotations.coco.json').write_text(json.dumps(data))


def test_an_export_of_roboflow_passes_the_checks_once_it_is_numbered_from_one(tmp_path, monkeypatch):
    write_roboflow(tmp_path / 'data/mine')
    monkeypatch.chdir(tmp_path)
    config = block_with("ann_file='train.json'")
    for split, ours in (('train', 'train'), ('val', 'valid')):
        path = f'{ours}/_annotations.coco.json'
        config = config.replace(f"ann_file='{split}.json', data_prefix=dict(img='images/')",
                                f"ann_file='{path}', data_prefix=dict(img='{ours}/')")
        config = config.replace(f"data_root + '{split}.json'", f"data_root + '{path}'")
    (tmp_path / 'mine.py').write_text(config)
    with pytest.raises(ValueError, match=r'val_evaluator.*the id 0.*number the annotations from 1'):
        check_data(load_config('mine.py'), KEYS)
    found = tmp_path / 'data/mine/valid/_annotations.coco.json'
    _, left = fix_annotations(found, found.with_name('fixed.json'), found.parent)
    assert not [fault for fault in left if fault.is_error]
    (tmp_path / 'mine.py').write_text(config.replace('valid/_annotations.coco', 'valid/fixed'))
    report = check_data(load_config('mine.py'), KEYS)
    assert report.classes == CLASSES and report.warnings == ()
