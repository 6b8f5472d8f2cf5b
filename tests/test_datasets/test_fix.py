"""Repaired copies of annotation files."""
import json

import pytest
from PIL import Image
from pycocotools.coco import COCO

from mmnasfpn.datasets import fix_annotations
from tests.test_datasets.annotation_files import every, good_data, one, without, write
from tests.test_datasets.test_annotation_rules import corners, shares


def fixed(tmp_path, change=None, **options):
    """Return the data of a repaired copy, which must have no errors."""
    done, left = fix_annotations(write(tmp_path / 'a.json', change), tmp_path / 'b.json', **options)
    assert not [fault for fault in left if fault.is_error], left
    assert done
    return json.loads((tmp_path / 'b.json').read_text())


def test_a_sound_file_is_copied_as_it_is(tmp_path):
    done, left = fix_annotations(write(tmp_path / 'a.json'), tmp_path / 'b.json')
    assert done == left == [] and json.loads((tmp_path / 'b.json').read_text()) == good_data()


@pytest.mark.parametrize('change', [
    without('annotations', 'iscrowd'), without('annotations', 'id'), one('annotations', id='a'),
    lambda data: [box.update(id=number) for number, box in enumerate(data['annotations'])] and None,
    lambda data: [box.update(image_id=str(box['image_id']), category_id=str(box['category_id']))
                  for box in data['annotations']] and None])
def test_what_has_one_meaning_is_added_numbered_anew_or_converted(tmp_path, change):
    assert fixed(tmp_path, change) == good_data()


def test_the_area_is_that_of_the_mask_or_of_the_box(tmp_path):
    def change(data):
        square = [[10, 20, 30, 20, 30, 40, 10, 40]]
        for box, mask in zip(data['annotations'], (square, [], None), strict=False):
            box.update(area=0, segmentation=mask)
    areas = [box['area'] for box in fixed(tmp_path, change)['annotations']]
    assert areas[:3] == [400, 1200, 1200]


def test_boxes_are_cut_at_the_border_and_their_area_with_them(tmp_path):
    change = one('annotations', bbox=[-10, 80, 40, 30], area=1200, segmentation=[])
    box = fixed(tmp_path, change)['annotations'][3]
    assert box['bbox'] == [0, 80, 30, 20] and box['area'] == 600


@pytest.mark.parametrize('values', [
    dict(bbox=[5, 5, 0, 9]), dict(bbox=[500, 5, 9, 9]), dict(image_id=77), dict(category_id=77),
    dict(bbox=[5, 5, float('nan'), 9])])
def test_annotations_that_nothing_can_be_learned_from_are_left_out(tmp_path, values):
    expected = good_data()
    del expected['annotations'][3]
    assert fixed(tmp_path, one('annotations', **values)) == expected


def test_copies_and_unused_categories_of_one_name_are_left_out(tmp_path):
    def change(data):
        data['images'] += [dict(data['images'][0]), dict(data['images'][0], license=3)]
        data['categories'].insert(0, dict(id=0, name='circle', supercategory='none'))
    assert fixed(tmp_path, change) == good_data()


def test_a_used_category_stays_whatever_the_kind_of_its_number(tmp_path):
    def change(data):
        data['categories'].append(dict(id=0, name='circle'))
        for box in data['annotations']:
            box['category_id'] = float(box['category_id'])
    assert fixed(tmp_path, change)['categories'] == good_data()['categories']


def test_sizes_are_those_that_are_read(tmp_path):
    image = Image.new('RGB', (200, 100))
    exif = image.getexif()
    exif[0x0112] = 6
    for number in range(1, 6):
        image.save(tmp_path / f'{number}.jpg', exif=exif)
    data = fixed(tmp_path, without('images', 'height'), folder=tmp_path,
                 color_type='color_ignore_orientation')
    assert data == good_data()


def test_a_byte_order_mark_is_left_out(tmp_path):
    path = write(tmp_path / 'a.json')
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    fix_annotations(path, tmp_path / 'b.json')
    assert json.loads((tmp_path / 'b.json').read_text()) == good_data()


def test_sizes_come_from_the_images_as_they_are_shown(tmp_path):
    for number in range(1, 6):
        Image.new('RGB', (200, 100)).save(tmp_path / f'{number}.jpg')
    image = Image.new('RGB', (100, 200))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / '2.jpg', exif=exif)
    data = fixed(tmp_path, without('images', 'height', slice(0, 3)), folder=tmp_path)
    assert data == good_data()


def test_categories_are_put_into_an_order_and_missing_ones_added(tmp_path):
    data = fixed(tmp_path, classes=['star', 'triangle', 'square'])
    assert data['categories'] == [dict(id=4, name='star'), *good_data()['categories'][::-1]]
    assert data['annotations'] == good_data()['annotations']


@pytest.mark.parametrize('change', [corners, shares])
def test_boxes_of_another_format_are_not_cut_to_pieces(tmp_path, change):
    with pytest.raises(ValueError, match='evidently .*Nothing was written'):
        fix_annotations(write(tmp_path / 'a.json', change), tmp_path / 'b.json')
    assert not (tmp_path / 'b.json').exists()


def test_the_file_itself_is_not_overwritten(tmp_path):
    path = write(tmp_path / 'a.json', every('annotations', area=0))
    before = path.read_bytes()
    with pytest.raises(ValueError, match='the file itself'):
        fix_annotations(path, tmp_path / '..' / tmp_path.name / 'a.json')
    assert path.read_bytes() == before


def test_what_cannot_be_repaired_is_still_named(tmp_path):
    path = write(tmp_path / 'a.json', without('images', 'file_name', slice(1)))
    _, left = fix_annotations(path, tmp_path / 'b.json')
    assert [fault.rule for fault in left] == ['missing-key']


def test_cocos_own_reader_reads_the_copy(tmp_path, capsys):
    fixed(tmp_path, without('annotations', 'iscrowd'))
    assert len(COCO(str(tmp_path / 'b.json')).getAnnIds(imgIds=[1])) == 6
