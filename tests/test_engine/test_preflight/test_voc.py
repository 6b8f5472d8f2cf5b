"""Mistakes in data sets in Pascal VOC's format are named before training starts."""
import re

import pytest

from mmnasfpn.engine.preflight import check_data
from mmnasfpn.engine.run import load_config
from tests.conftest import REPO
from tests.test_datasets.voc_folders import make_like_bccd

KEYS = ('train_dataloader', 'val_dataloader')
CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture
def voc(tmp_path, monkeypatch):
    """A VOC folder with two images for training and two for validation, whose first box is a RBC's."""
    monkeypatch.chdir(tmp_path)
    return make_like_bccd(tmp_path / 'data/bccd', CLASSES, (2, 2)) / 'voc'


@pytest.fixture
def cfg(voc):
    return load_config(REPO / 'configs/nasfpn/_base_/bccd_voc.py')


def refused(cfg, error, *words):
    with pytest.raises(error, match='.*'.join(re.escape(word) for word in words)) as caught:
        check_data(cfg, KEYS)
    assert 'check_data' not in str(caught.value)  # which repairs files in COCO's format


def edit(voc, old, new, image='trainval_1', count=1):
    path = voc / f'Annotations/{image}.xml'
    text = path.read_text()
    assert re.search(old, text)
    path.write_text(re.sub(old, new, text, count=count))


def test_a_good_data_set_passes_and_says_its_classes(cfg):
    report = check_data(cfg, KEYS)
    assert report.warnings == () and report.classes == CLASSES


@pytest.mark.parametrize(('key', 'value', 'words'), [
    ('data_root', 'nowhere/', ["data_root leads to 'nowhere'"]),
    ('ann_file', 'voc/none.txt', ['ann_file, the list of images,', 'none.txt']),
    ('ann_subdir', 'XML', ['ann_subdir', 'voc/XML']),
    ('img_subdir', 'JPEGImages', ['img_subdir', 'voc/JPEGImages'])])
def test_what_is_missing_is_named_with_its_key(cfg, key, value, words):
    cfg.train_dataloader.dataset[key] = value
    refused(cfg, FileNotFoundError, 'train_dataloader.dataset', *words)


def test_the_voc_folder_is_given(cfg):
    cfg.train_dataloader.dataset.data_prefix = dict(img='images/')
    refused(cfg, ValueError, 'no sub_data_root')


def test_missing_xml_files_and_images_are_named(cfg, voc):
    (voc / 'Annotations/trainval_2.xml').unlink()
    (voc.parent / 'images/test_1.jpg').unlink()
    (voc.parent / 'images/test_1.png').touch()
    refused(cfg, ValueError, '1 of 2 XML files are not there', 'trainval_2.xml')
    refused(cfg, ValueError, '1 of 2 images are not there', 'test_1.jpg', 'there is test_1.png')


@pytest.mark.parametrize(('old', 'new', 'words'), [
    ('</annotation>', '', 'no element found'),
    ('<xmin>.*?</xmin>', '', 'bndbox has no xmin'),
    ('<xmin>.*?</xmin>', '<xmin>left</xmin>', "'left'"),
    ('<name>.*?</name>', '', 'object has no name'),
    ('<bndbox>.*?</bndbox>', '', 'no bndbox'),
    ('<height>480', '<height>480.5', "'480.5'")])
def test_xml_that_cannot_be_read_is_named_with_the_reason(cfg, voc, old, new, words):
    edit(voc, old, new)
    refused(cfg, ValueError, '1 of 2 XML files cannot be read', 'trainval_1.xml', words)


def test_objects_of_unknown_names_are_counted_in_a_warning(cfg, voc):
    edit(voc, '<name>RBC</name>', '<name>rbc</name>')
    warning, = check_data(cfg, KEYS).warnings
    assert "1 of 24 objects have names that are not among the classes ('RBC', 'WBC'" in warning
    assert "('rbc': 1)" in warning and 'passes over' in warning


def test_a_data_set_of_other_classes_is_refused_with_the_names_found(cfg):
    for key in KEYS:
        cfg[key].dataset.metainfo.classes = ('a', 'b', 'c')
    refused(cfg, ValueError, '24 of 24 objects', "('a', 'b', 'c')", "'RBC': 8, 'WBC': 8")


def test_a_class_without_boxes_is_warned_of(cfg, voc):
    for image in ('trainval_1', 'trainval_2'):
        edit(voc, '<name>WBC</name>', '<name>RBC</name>', image, count=0)
    warning, = check_data(cfg, KEYS).warnings
    assert "no boxes to train with ('WBC')" in warning


def make_empty(voc, image):
    edit(voc, '<xmin>.*?</ymax>', '<xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax>', image)


def test_empty_boxes_are_left_out_of_training_or_refused(cfg, voc):
    make_empty(voc, 'trainval_2')
    warning, = check_data(cfg, KEYS).warnings
    assert '1 of 24 boxes (object 1 of trainval_2.xml) are less than a pixel' in warning
    cfg.train_dataloader.dataset.filter_cfg = dict(filter_empty_gt=True)
    refused(cfg, ValueError, 'object 1 of trainval_2.xml', 'in training', 'bbox_min_size=1')
    cfg.train_dataloader.dataset.pipeline.insert(2, dict(type='mmdet.FilterAnnotations'))
    check_data(cfg, KEYS)


def test_empty_boxes_in_validation_are_never_found(cfg, voc):
    make_empty(voc, 'test_1')
    warning, = check_data(cfg, KEYS).warnings
    assert 'val_dataloader' in warning and 'evaluation never finds' in warning


def test_boxes_outside_their_image_spoil_the_training(cfg, voc):
    edit(voc, '<xmin>.*?</xmin>(.*?)<xmax>.*?</xmax>', r'<xmin>700</xmin>\1<xmax>720</xmax>')
    refused(cfg, ValueError, 'object 1 of trainval_1.xml', 'outside their image')


def test_difficult_boxes_are_not_counted(cfg, voc):
    edit(voc, '<bndbox>', '<difficult>1</difficult><bndbox>')
    make_empty(voc, 'trainval_1')
    assert check_data(cfg, KEYS).warnings == ()


def test_a_size_that_is_not_the_images_is_an_error_and_none_is_read_from_it(cfg, voc):
    edit(voc, '<size>.*</size>', '')
    assert check_data(cfg, KEYS).warnings == ()
    edit(voc, '<height>480', '<height>0', 'trainval_2')
    refused(cfg, ValueError, "'trainval_2'", "'height'", 'size of the image')


def test_a_name_that_is_listed_twice_is_named(cfg, voc):
    with open(voc / 'ImageSets/Main/test.txt', 'a') as file:
        file.write('test_1\n')
    refused(cfg, ValueError, 'test.txt', '1 of 3 names are listed more than once (test_1)')


def test_the_least_size_of_boxes_is_for_training_only(cfg):
    cfg.val_dataloader.dataset.filter_cfg = dict(bbox_min_size=1)
    refused(cfg, ValueError, 'val_dataloader', 'bbox_min_size is 1', 'training only')


def test_the_evaluator_takes_the_boxes_of_the_data_set(cfg):
    cfg.val_evaluator.ann_file = 'data/bccd/annotations/test.json'
    refused(cfg, ValueError, 'val_evaluator', "test.json'", 'Pascal VOC', 'ann_file=None')
    cfg.val_evaluator.ann_file = None
    cfg.val_dataloader.dataset.pipeline[-1].meta_keys = ('img_id',)
    refused(cfg, ValueError, 'val_evaluator', "add 'instances' to the meta_keys")


def test_images_that_are_trained_on_and_evaluated_are_counted_across_formats(cfg):
    coco = load_config(REPO / 'configs/nasfpn/_base_/bccd.py')
    coco.train_dataloader.dataset.ann_file = 'annotations/test.json'
    cfg.train_dataloader = coco.train_dataloader
    warning, = check_data(cfg, KEYS).warnings
    assert '2 of 2 images are trained on too' in warning


def test_a_list_that_was_checked_is_not_read_again(cfg, voc):
    checked = check_data(cfg, KEYS).checked
    (voc / 'Annotations/trainval_2.xml').unlink()
    assert check_data(cfg, KEYS, checked).warnings == ()
