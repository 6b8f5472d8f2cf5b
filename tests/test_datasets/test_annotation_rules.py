"""Each rule of annotation files, by what breaks it."""
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmnasfpn.datasets import (
    AnnotationError,
    Use,
    check_annotations,
    fix_annotations,
    read_annotations,
)
from mmnasfpn.datasets.annotations import KEYS
from mmnasfpn.datasets.summary import summarize
from tests.test_datasets.annotation_files import CLASSES, every, good_data, one, without, write


def faults_of(tmp_path, change=None, **use):
    return check_annotations(read_annotations(write(tmp_path / 'a.json', change)), Use(**use))


def the_fault(tmp_path, rule, change, **use):
    """Return the fault of a rule, which must be there once."""
    faults = [fault for fault in faults_of(tmp_path, change, **use) if fault.rule == rule]
    assert len(faults) == 1, faults
    return faults[0]


def test_a_good_file_has_no_faults(tmp_path):
    assert faults_of(tmp_path, classes=CLASSES, needs_masks=True, filter_empty=True, min_size=32) == []


def shares(data):
    for box in data['annotations']:
        x, y, width, height = box['bbox']
        box['bbox'] = [x / 200, y / 100, width / 200, height / 100]


def corners(data):
    for number, box in enumerate(data['annotations']):
        left, top = 5 * number, 2 * number
        box['bbox'] = [left, top, left + 45, top + 40]


def mirrored_ids(data):
    for image in data['images']:
        image['id'] = str(image['id'])


def copied(part, **values):
    return lambda data: data[part].append({**data[part][0], **values})


#: Rule, change, whether it is an error, and words of its text.
TABLE = [
    *(('missing-key', without(part, key, slice(2)), True, f'2 of {number} {part} .* have no {key!r}')
      for part, number, keys in (
          ('images', 5, ('id', 'file_name', 'height', 'width')),
          ('annotations', 30, ('id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd')),
          ('categories', 3, ('id', 'name'))) for key in keys),
    ('duplicate-id', copied('images', file_name='6.jpg'), True, '2 of 6 images .*id 1, 1'),
    ('duplicate-id', copied('annotations'), True, '2 of 31 annotations .*id 1, 1'),
    ('duplicate-id', copied('categories', name='star'), True, '2 of 4 categories .*id 1, 1'),
    ('duplicate-category-name', copied('categories', id=9), True, "2 categories .*'circle' .ids 1, 9"),
    ('duplicate-file-name', copied('images', id=9), False, "1 files .*'1.jpg'"),
    ('annotation-id-0', one('annotations', id=0), True, 'id 0'),
    ('text-id', one('images', id='seven'), True, "1 of 5 images .id 'seven'"),
    ('text-id', one('categories', 1, id='two'), True, "1 of 3 categories .id 'two'"),
    ('text-id', lambda data: [box.update(id=str(box['id'])) for box in data['annotations']] and None,
     True, "30 of 30 annotations .id '1', '2', '3'"),
    ('no-id', one('images', id=None), True, 'id None.* no whole number'),
    ('no-id', one('annotations', id=1.5), True, 'id 1.5'),
    ('unknown-image-id', one('annotations', image_id=99), False, "1 of 30 .*an 'image_id'.*99"),
    ('unknown-image-id', every('annotations', image_id=99), True, '30 of 30'),
    ('unknown-image-id', mirrored_ids, True, 'since one is a number and the other a text'),
    ('unknown-category-id', one('annotations', category_id=7), False, "a 'category_id' .*7"),
    ('unknown-category-id', every('annotations', category_id='1'), True, '30 of 30 .*a text'),
    ('box-without-size', one('annotations', bbox=[5, 5, 0, 9]), False, '1 of 30 .*id 4. .*less'),
    ('box-without-size', every('annotations', bbox=[5, 5, 9, 0.5]), True, '30 of 30'),
    ('box-outside', one('annotations', bbox=[200, 5, 9, 9]), False, '1 of 30 .*id 4. .*overlap'),
    ('box-outside', every('annotations', bbox=[-20, 5, 9, 9]), True, '30 of 30'),
    ('area-0', one('annotations', area=0), False, "1 of 30 .*id 4. has an 'area' of 0"),
    ('area-0', every('annotations', area=-3), True, '30 of 30'),
    ('box-not-finite', one('annotations', bbox=[5, 5, float('nan'), 9]), True, '1 of 30 .*id 4. .*NaN'),
    ('box-not-finite', one('annotations', bbox=[5, 5, float('inf'), 9]), True, '1 of 30 .*id 4'),
    ('box-not-finite', one('annotations', bbox=[5, 5, 10 ** 400, 9]), True, '1 of 30 .*id 4'),
    ('not-a-box', one('annotations', bbox=[5, 5, 9]), True, r'id 4. .*\[5, 5, 9\]'),
    ('not-a-box', one('annotations', bbox='5 5 9 9'), True, 'id 4. .*5 5 9 9'),
    ('not-a-box', one('annotations', bbox=[5, 5, '9', 9]), True, 'id 4'),
    ('not-an-area', one('annotations', area='big'), True, "id 4. .*'big'"),
    ('not-an-area', one('annotations', area=float('nan')), True, 'id 4. .*nan'),
    ('not-a-flag', one('annotations', iscrowd='no'), True, "id 4. .*'no'"),
    ('no-image-size', one('images', height=0), True, "id 4. has a 'height' .*0"),
    ('no-image-size', one('images', width='wide'), True, "id 4. has a 'width' .*'wide'"),
    ('not-a-name', one('images', file_name=4), True, "id 4. has a 'file_name'"),
    ('not-a-name', one('categories', 0, name=''), True, "id 1. has a 'name'"),
    ('boxes-in-corners', corners, True, r'\[x1, y1, x2, y2\]'),
    ('boxes-in-shares', shares, True, 'shares of the sides'),
    ('no-boxes', every('annotations', iscrowd=1), True, 'no boxes'),
    ('no-boxes', every('annotations', ignore=1), True, 'no boxes'),
    ('no-boxes', lambda data: data.pop('annotations') and None, True, '5 images but no boxes'),
    ('no-images', lambda data: {**data, 'images': [], 'annotations': []}, True, 'no images'),
    ('ignored-in-training-only', one('annotations', ignore=True), False, "id 4. has a true 'ignore'"),
    ('class-without-boxes', copied('categories', id=9, name='star'), False, "'star'"),
]


@pytest.mark.parametrize(('rule', 'change', 'is_error', 'words'), TABLE,
                         ids=[f'{row[0]}-{number}' for number, row in enumerate(TABLE)])
def test_rule(tmp_path, rule, change, is_error, words):
    fault = the_fault(tmp_path, rule, change)
    assert fault.is_error == is_error and fault.advice
    assert re.search(words, fault.text), fault.text


@pytest.mark.parametrize(('content', 'rule'), [
    (b'', 'empty-file'), (b' \n', 'empty-file'), (b'{', 'cut-short'),
    (b'{"images": [{"id": 1, "na', 'cut-short'),
    (json.dumps(good_data()).encode()[:-20], 'cut-short'), (b'{"images" [1]}', 'not-json'),
    (b'<annotation/>', 'not-json'), (b'[' * 100000 + b']' * 100000, 'not-json'),
    (b'{"images": [' + b'1' * 5000 + b']}', 'not-json'),
    (b'\xff\xfe{\x00}\x00', 'not-utf-8'), (b'[]', 'no-object'),
    (b'{"images": []}', 'no-list'), (b'{"images": {}, "categories": []}', 'no-list'),
    (b'{"images": [1], "categories": []}', 'no-entry'),
    (b'{"images": [], "categories": [], "annotations": null}', 'no-list'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n', 'git-lfs-pointer')])
def test_a_file_that_is_not_in_coco_format(tmp_path, content, rule):
    (tmp_path / 'a.json').write_bytes(content)
    with pytest.raises(AnnotationError, match='not in COCO format') as caught:
        read_annotations(tmp_path / 'a.json')
    assert caught.value.fault.rule == rule


def test_a_byte_order_mark_is_named_beside_other_faults(tmp_path):
    path = write(tmp_path / 'a.json', one('annotations', id=0))
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    rules = [fault.rule for fault in check_annotations(read_annotations(path))]
    assert rules == ['byte-order-mark', 'annotation-id-0']


def test_all_faults_are_found_errors_first(tmp_path):
    def change(data):
        data['annotations'][0].pop('area')
        data['annotations'][1].update(bbox=[5, 5, 0, 0])
        data['images'][0].pop('file_name')
        data['categories'].append(dict(id=9, name='circle'))
    faults = faults_of(tmp_path, change)
    assert [fault.rule for fault in faults] == [
        'missing-key', 'missing-key', 'duplicate-category-name', 'box-without-size',
        'class-without-boxes']
    assert [fault.is_error for fault in faults] == [True, True, True, False, False]


@pytest.mark.parametrize('number', [3, 4])
def test_more_than_a_tenth_of_the_boxes_lost_is_an_error(tmp_path, number):
    fault = the_fault(tmp_path, 'area-0', lambda data: [
        box.update(area=0) for box in data['annotations'][:number]] and None)
    assert fault.is_error == (number > 3)


@pytest.mark.parametrize(('change', 'rule'), [
    (without('annotations', 'iscrowd'), 'missing-key'), (one('annotations', id=0), 'annotation-id-0'),
    (one('annotations', ignore=1), 'ignored-in-training-only')])
def test_what_only_evaluation_reads_is_no_fault_of_training(tmp_path, change, rule):
    assert faults_of(tmp_path, change, evaluates=False) == []
    assert the_fault(tmp_path, rule, change, trains=False)


def test_texts_for_all_ids_of_images_and_categories_work(tmp_path):
    def change(data):
        for part, key in (('images', 'image_id'), ('categories', 'category_id')):
            for entry in data[part]:
                entry['id'] = f'n{entry["id"]}'
            for box in data['annotations']:
                box[key] = f'n{box[key]}'
    assert faults_of(tmp_path, change) == []


def test_only_the_classes_that_are_used_count(tmp_path):
    def change(data):
        data['categories'].append(dict(id=9, name='circle'))
        for box in data['annotations']:
            if box['category_id'] == 1:
                box['area'] = 0
    assert faults_of(tmp_path, change, classes=('square', 'triangle')) == []
    assert the_fault(tmp_path, 'no-boxes', change, classes=('circle',)).text.count("('circle',)") == 1


def test_a_test_set_whose_answers_are_kept_elsewhere_needs_no_boxes(tmp_path):
    assert faults_of(tmp_path, lambda data: data.pop('annotations') and None, trains=False,
                     evaluates=False, needs_boxes=False) == []


def test_masks_are_asked_for_where_they_are_used(tmp_path):
    change = without('annotations', 'segmentation', slice(2))
    assert faults_of(tmp_path, change) == []
    assert '2 of 30' in the_fault(tmp_path, 'no-mask', change, needs_masks=True).text


@pytest.mark.parametrize('mask', [
    [[]], [[1, 2, 3, 4]], [1, 2, 3, 4, 5, 6], 'abc', [[1, 2, 3, 4, 5, 6, 7]],
    [[1, 2, 3, 4, 5, float('nan')]], dict(counts='x'), dict(size=[3, 4], counts='x')])
def test_masks_that_are_none_are_named_where_they_are_used(tmp_path, mask):
    change = one('annotations', segmentation=mask)
    assert faults_of(tmp_path, change) == []
    assert 'id 4' in the_fault(tmp_path, 'not-a-mask', change, needs_masks=True).text


def test_masks_of_polygons_and_of_runs_are_right(tmp_path):
    def change(data):
        data['annotations'][0]['segmentation'] = dict(size=[100, 200], counts='x')
        data['annotations'][1].update(segmentation=dict(size=[100, 200], counts=[20000]), iscrowd=1)
    assert faults_of(tmp_path, change, needs_masks=True) == []


def test_crowds_need_masks_as_well(tmp_path):
    def change(data):
        data['annotations'][3].pop('segmentation')
        data['annotations'][3]['iscrowd'] = 1
    assert 'id 4' in the_fault(tmp_path, 'no-mask', change, needs_masks=True).text


def test_images_that_filter_cfg_drops_are_counted(tmp_path):
    def change(data):
        data['images'][0]['height'] = 20
        data['annotations'] = [box for box in data['annotations'] if box['image_id'] != 2]
        for box in data['annotations']:
            box['bbox'] = [5, 5, 10, 10]
    use = dict(filter_empty=True, min_size=32)
    small, empty = (the_fault(tmp_path, rule, change, **use)
                    for rule in ('filtered-small', 'filtered-empty'))
    assert 'id 1' in small.text and 'id 2' in empty.text and not small.is_error and not empty.is_error
    assert the_fault(tmp_path, 'filtered-small', change, min_size=101).is_error
    assert faults_of(tmp_path, change, trains=False, **use) == []


def test_large_boxes_that_stick_out_a_little_are_no_corners(tmp_path):
    assert faults_of(tmp_path, every('annotations', bbox=[0, 0, 200, 100])) == []
    assert faults_of(tmp_path, every('annotations', bbox=[3, 2, 200, 100])) == []


def test_an_unused_category_of_a_name_can_be_left_out_and_a_used_one_not(tmp_path):
    def used(data):
        data['categories'].append(dict(id=9, name='circle'))
        data['annotations'][0]['category_id'] = 9
    assert the_fault(tmp_path, 'duplicate-category-name', copied('categories', id=9)).can_be_fixed
    assert not the_fault(tmp_path, 'duplicate-category-name', used).can_be_fixed


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda values: (st.lists(values, max_size=5)
                    | st.dictionaries(st.text(max_size=3), values, max_size=2)), max_leaves=6)


@settings(max_examples=300)
@given(part=st.sampled_from(list(KEYS)), place=st.integers(0, 2), data=st.data(), value=ANYTHING)
def test_whatever_a_value_is_it_is_a_fault_or_none_and_never_an_error_of_ours(
        tmp_path_factory, part, place, data, value):
    key = data.draw(st.sampled_from([*KEYS[part], 'ignore', 'segmentation']))
    folder = tmp_path_factory.getbasetemp()
    path = write(folder / 'any.json', one(part, place, **{key: value}))
    check_annotations(read_annotations(path), Use(classes=CLASSES, needs_masks=True, filter_empty=True))
    summarize(read_annotations(path))
    fix_annotations(path, folder / 'any-fixed.json')
