"""Images that MMCV would not read, or read as something else than the annotations say."""
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from mmnasfpn.datasets import check_images, image_rules
from mmnasfpn.datasets.image_rules import Reader

NAMES = [f'{number}.jpg' for number in range(6)]
SIZES = np.full((6, 2), (40, 60), float)


@pytest.fixture
def folder(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    for name in NAMES:
        cv2.imwrite(str(tmp_path / name), noise)
    return tmp_path


def rules(folder, names=NAMES, sizes=SIZES, **options):
    return [fault.rule for fault in check_images(folder, names, sizes, **options)]


def turn(path, orientation):
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


def test_good_images_have_no_faults(folder):
    assert rules(folder) == rules(folder, num_opened=None) == []


@pytest.mark.parametrize(('damage', 'rule'), [
    (lambda path: path.unlink(), 'image-missing'),
    (lambda path: path.write_bytes(b''), 'image-empty'),
    (lambda path: path.write_bytes(b'no image'), 'image-unreadable'),
    (lambda path: path.write_bytes(path.read_bytes()[:-900]), 'image-cut-short'),
    (lambda path: cv2.imwrite(str(path), np.zeros((60, 40, 3), np.uint8)), 'image-size'),
    (lambda path: turn(path, 6), 'image-rotated'),
    (lambda path: turn(path, 3), 'image-turned'),
])
def test_rule(folder, damage, rule):
    damage(folder / '3.jpg')
    fault, = check_images(folder, NAMES, SIZES)
    assert fault.rule == rule and fault.is_error == (rule != 'image-turned')
    assert '1 of ' in fault.text and '3.jpg' in fault.text and fault.advice
    assert rules(folder, num_opened=None) == [rule]


def test_a_link_to_nowhere_is_a_missing_image(folder):
    (folder / '3.jpg').unlink()
    os.symlink(folder / 'nowhere.jpg', folder / '3.jpg')
    fault, = check_images(folder, NAMES, SIZES)
    assert fault.rule == 'image-missing' and 'a link to' in fault.text


def test_of_square_images_the_size_does_not_tell_whether_they_are_turned(folder):
    cv2.imwrite(str(folder / '3.jpg'), np.zeros((50, 50, 3), np.uint8))
    turn(folder / '3.jpg', 6)
    sizes = SIZES.copy()
    sizes[3] = 50, 50
    assert rules(folder, sizes=sizes) == ['image-turned']
    assert rules(folder, sizes=sizes, reader=Reader('color_ignore_orientation')) == []


def test_several_kinds_are_named_at_once(folder):
    (folder / '1.jpg').unlink()
    (folder / '2.jpg').write_bytes(b'')
    turn(folder / '3.jpg', 8)
    turn(folder / '4.jpg', 5)
    missing, empty, rotated = check_images(folder, NAMES, SIZES)
    assert '1.jpg' in missing.text and '2.jpg' in empty.text
    assert '2 of 4 images that were opened' in rotated.text and '60x40, not 40x60' in rotated.text


def test_rotated_images_are_right_where_the_annotations_have_the_size_as_shown(folder):
    turn(folder / '3.jpg', 6)
    sizes = SIZES.copy()
    sizes[3] = 60, 40
    assert rules(folder, sizes=sizes) == []
    fault, = check_images(folder, NAMES, sizes, Reader('color_ignore_orientation'))
    assert fault.rule == 'image-not-rotated' and "color_type='color'" in fault.advice


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_rotated_images_are_right_where_they_are_read_as_stored(folder, backend):
    turn(folder / '3.jpg', 6)
    assert rules(folder, reader=Reader('color', backend)) == ['image-rotated']
    assert rules(folder, reader=Reader('color_ignore_orientation', backend)) == []


@pytest.mark.parametrize(('name', 'hint'), [
    ('a\\3.jpg', 'backslash'), ('3.JPG', 'but there is 3.jpg'), ('elsewhere/3.jpg', 'no folder'),
    ('a\0/3.jpg', 'no folder'), ('u\u0308.jpg', 'accents')])
def test_why_an_image_is_missing_is_said_where_it_shows(folder, name, hint):
    (folder / '\xfc.jpg').write_bytes((folder / '3.jpg').read_bytes())
    fault, = check_images(folder, [name], SIZES[:1])
    assert fault.rule == 'image-missing' and hint in fault.text


def test_images_lie_in_folders_of_folders_or_anywhere(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    (folder / 'deep').mkdir()
    (folder / '0.jpg').rename(folder / 'deep' / '0.jpg')
    (folder / '1.jpg').rename(elsewhere / '1.jpg')
    names = ['deep/0.jpg', str(elsewhere / '1.jpg'), *NAMES[2:]]
    assert rules(folder, names) == []
    (elsewhere / '1.jpg').unlink()
    assert rules(folder, names) == ['image-missing']


def test_each_folder_is_listed_once_and_no_image_asked_for_on_its_own(folder, monkeypatch):
    listed, scandir = [], os.scandir
    monkeypatch.setattr(image_rules.os, 'scandir', lambda path: listed.append(path) or scandir(path))
    monkeypatch.setattr(image_rules.os, 'stat', None)
    assert rules(folder, num_opened=0) == [] and listed == [str(folder)]


def test_a_sample_is_opened_evenly_spread(folder):
    opened = []
    rules(folder, num_opened=3, progress=lambda found: opened.append(len(list(found))) or [])
    assert opened == [3]
    (folder / '5.jpg').write_bytes(b'no image')  # the last one is among them
    assert rules(folder, num_opened=2) == ['image-unreadable']


def test_an_image_whose_size_is_not_known_is_only_opened(folder):
    sizes = SIZES.copy()
    sizes[3] = np.nan
    assert rules(folder, sizes=sizes) == []
