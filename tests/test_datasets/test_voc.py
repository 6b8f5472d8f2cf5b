"""Data sets in Pascal VOC's format are those in COCO's."""
import contextlib
import io
import os

import numpy as np
import pytest
import torch
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmengine.registry import DATASETS, METRICS, init_default_scope
from mmengine.structures import InstanceData

from mmnasfpn.datasets.voc import read_voc
from mmnasfpn.engine.run import load_config
from tests.conftest import REPO
from tests.test_datasets.voc_folders import make_like_bccd

CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('voc') / 'data/bccd'
    return make_like_bccd(root, CLASSES, (2, 20))


@pytest.fixture
def configs(folder, monkeypatch):
    """The configs of BCCD in both formats, on a generated data set."""
    monkeypatch.chdir(folder.parents[1])
    init_default_scope('mmdet')
    return [load_config(REPO / f'configs/nasfpn/_base_/{name}.py') for name in ('bccd', 'bccd_voc')]


def build(cfg, key):
    with contextlib.redirect_stdout(io.StringIO()):
        return DATASETS.build(cfg[f'{key}_dataloader'].dataset, default_args=dict(serialize_data=False))


@pytest.mark.parametrize('key', ['train', 'val', 'test'])
def test_images_and_boxes_are_those_of_the_annotation_file_up_to_a_pixel(configs, key):
    coco, voc = (build(cfg, key) for cfg in configs)
    assert len(coco) == len(voc) > 0
    assert coco.metainfo['classes'] == voc.metainfo['classes'] == CLASSES
    for one, other in zip(map(coco.get_data_info, range(len(coco))),
                          map(voc.get_data_info, range(len(coco))), strict=True):
        assert os.path.samefile(one['img_path'], other['img_path'])
        for mine, theirs in zip(one['instances'], other['instances'], strict=True):
            assert mine['bbox_label'] == theirs['bbox_label']
            # MMDetection subtracts 1 from all four corners.
            assert np.subtract(mine['bbox'], theirs['bbox']).tolist() == [0, 0, 1, 1]


def evaluate(cfg, dataset, predictions):
    """Return the metrics of predictions for each image, handed on as the test pipeline does."""
    metric = METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    for number, prediction in enumerate(predictions):
        sample = dataset[number]['data_samples'].to_dict()
        metric.process({}, [{**sample, 'pred_instances': prediction}])
    with contextlib.redirect_stdout(io.StringIO()):
        return metric.evaluate(len(dataset))


def test_ap_of_the_same_predictions_is_that_by_the_annotation_file(configs):
    """For boxes of 80 to 200 pixels, and a detector that is about as good as one on real images."""
    rng = np.random.default_rng(0)
    coco, voc = (build(cfg, 'val') for cfg in configs)
    predictions = []
    for number in range(len(coco)):
        things = coco.get_data_info(number)['instances']
        boxes = np.array([thing['bbox'] for thing in things], float)
        predictions.append(dict(
            bboxes=torch.tensor(boxes + rng.normal(0, 12, boxes.shape)),
            labels=torch.tensor([thing['bbox_label'] for thing in things]),
            scores=torch.tensor(rng.uniform(0.1, 1, len(boxes)))))
    by_file, by_xml = (evaluate(cfg, dataset, predictions)['coco/bbox_mAP']
                       for cfg, dataset in zip(configs, (coco, voc), strict=True))
    assert 0.4 < by_file < 0.7
    assert abs(by_file - by_xml) <= 0.005


def test_boxes_are_read_as_mmdetection_reads_them(configs, folder):
    voc = folder / 'voc'
    file = read_voc(voc / 'ImageSets/Main/test.txt', voc / 'Annotations', folder / 'images', CLASSES)
    infos = list(map(build(configs[1], 'test').get_data_info, range(20)))
    assert file.ids('images') == [info['img_id'] for info in infos]
    corners = file.boxes + np.pad(file.boxes[:, :2], ((0, 0), (2, 0)))
    assert corners.tolist() == [thing['bbox'] for info in infos for thing in info['instances']]
    assert file.category_of.tolist() == [
        thing['bbox_label'] for info in infos for thing in info['instances']]


def test_an_empty_box_takes_all_anchors_that_are_free():
    anchors = torch.tensor([[0., 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16]])
    truth = InstanceData(bboxes=torch.tensor([[5., 5, 5, 5]]), labels=torch.tensor([0]))
    assigner = MaxIoUAssigner(pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)  # as of RetinaNet
    assigned = assigner.assign(InstanceData(priors=anchors), truth)
    assert assigned.gt_inds.tolist() == [1, 1, 1]
