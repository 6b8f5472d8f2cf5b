"""Where nothing is detected, the metrics are 0, not missing."""
import json
from types import SimpleNamespace

import pytest
from mmdet.evaluation import CocoMetric

from mmnasfpn.engine.hooks import NoDetectionsHook
from mmnasfpn.engine.hooks import no_detections as no_detections_hook
from mmnasfpn.engine.run import evaluate, load_config, train

NAMES = [f'coco/bbox_{item}' for item in ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')]


def test_a_model_that_detects_nothing_has_metrics_of_0_and_a_best_checkpoint(tiny_config, tmp_path):
    work_dir = tmp_path / 'w'
    cfg = load_config(str(tiny_config), str(work_dir), {
        'model.test_cfg.score_thr': 0.999, 'default_hooks.checkpoint.save_best': 'auto',
        'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1})
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name
    train(cfg)
    assert (work_dir / 'best_coco_bbox_mAP_epoch_1.pth').is_file()
    log = next(work_dir.glob('*/*.log')).read_text()
    assert log.count('Nothing was detected') == 1 and 'coco/bbox_mAP: 0.0000' in log

    cfg = load_config(str(tiny_config), str(work_dir), {'model.test_cfg.score_thr': 0.999})
    cfg.experiment_name = cfg.visualizer.name = f'{tmp_path.name}-test'
    found = evaluate(cfg, str(work_dir / 'epoch_1.pth'), json_path=str(tmp_path / 'm.json'))
    assert found == dict.fromkeys(NAMES, 0.0)
    assert json.loads((tmp_path / 'm.json').read_text())['metrics'] == found


@pytest.mark.parametrize(('options', 'names'), [
    (dict(), NAMES),
    (dict(metric=['bbox', 'segm'], metric_items=['mAP', 'AR@100'], prefix='mine'),
     ['mine/bbox_mAP', 'mine/bbox_AR@100', 'mine/segm_mAP', 'mine/segm_AR@100']),
    (dict(metric='proposal'), [f'coco/{item}' for item in (
        'AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')]),
    (dict(metric='proposal_fast', proposal_nums=(1, 10)), ['coco/AR@1', 'coco/AR@10']),
    (dict(classwise=True, metric_items=['mAP']), ['coco/a_precision', 'coco/b_precision',
                                                  'coco/bbox_mAP']),
    (dict(format_only=True, outfile_prefix='x'), []),
])
def test_the_metrics_are_those_of_the_evaluator(options, names):
    metric = CocoMetric(**options)
    metric.dataset_meta = dict(classes=('a', 'b'))
    assert list(no_detections_hook._names(metric)) == names


@pytest.mark.parametrize(('metrics', 'expected'), [
    ({}, {'coco/bbox_mAP': 0}), ({'coco/bbox_mAP': 0.3}, {}), ({'teacher/coco/bbox_mAP': 0.3}, {}),
    ({'bbox_mAP': 0.3, 'xcoco/bbox_mAP': 0.3}, {'coco/bbox_mAP': 0})])
def test_metrics_that_are_there_stay(metrics, expected):
    warned = []
    evaluator = SimpleNamespace(metrics=[CocoMetric(metric_items=['mAP'])])
    runner = SimpleNamespace(val_evaluator=evaluator, logger=SimpleNamespace(warning=warned.append))
    found = dict(metrics)
    NoDetectionsHook().after_val_epoch(runner, found)
    assert found == {**metrics, **expected} and len(warned) == len(expected)


def test_metrics_with_names_of_their_own_are_left_alone():
    class Own(CocoMetric):
        def compute_metrics(self, results):
            return {}

    assert list(no_detections_hook._names(Own())) == []
    assert list(no_detections_hook._names(object())) == []


def test_each_of_several_data_sets_has_its_metrics():
    metrics = {'a/coco/bbox_mAP': 0.5}
    evaluator = SimpleNamespace(metrics=[CocoMetric(metric_items=['mAP'])] * 2,
                                dataset_prefixes=['a', 'b'])
    runner = SimpleNamespace(val_evaluator=evaluator, logger=SimpleNamespace(warning=lambda _: None))
    NoDetectionsHook().after_val_epoch(runner, metrics)
    assert metrics == {'a/coco/bbox_mAP': 0.5, 'b/coco/bbox_mAP': 0.0}
