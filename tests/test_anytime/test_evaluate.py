"""The tools of anytime detection, on a checkpoint that was trained for seconds."""
import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import MODELS

from mmnasfpn.analysis.complexity import count_complexity
from mmnasfpn.anytime.calibrate import calibrate
from mmnasfpn.anytime.evaluate import build_anytime, evaluate_anytime
from mmnasfpn.anytime.latency import ExitRun, summarize
from mmnasfpn.anytime.report import area_under_ap
from mmnasfpn.anytime.slim import count_exits, slim_checkpoint, slim_config
from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.converters import ConversionError
from mmnasfpn.engine.run import evaluate as run_test
from mmnasfpn.engine.run import load_config
from mmnasfpn.models.detectors.anytime import HEADS, AnytimeDetector
from mmnasfpn.models.detectors.calibration import Calibration
from tests.conftest import run_python


def save(cfg, path, seed):
    torch.manual_seed(seed)
    model = build_anytime(cfg)
    meta = dict(epoch=7, cfg='of the anytime detector',
                dataset_meta=dict(classes=('circle', 'square', 'triangle')))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


@pytest.fixture
def anytime(request, tiny_config, tmp_path):
    """The config and a checkpoint of an anytime detector of two stacks; by default of a head each."""
    heads = getattr(request, 'param', 'own_norms')
    path = tmp_path / 'anytime.py'
    path.write_text(f"_base_ = {str(tiny_config)!r}\nmodel = dict(type='mmnasfpn.AnytimeDetector', "
                    f'heads={heads!r}, test_cfg=dict(score_thr=0.0, nms_pre=100))\n')
    cfg = load_config(str(path), str(tmp_path / 'w'))
    cfg.experiment_name = tmp_path.name
    return cfg, save(cfg, tmp_path / 'anytime.pth', 0)


def at_exit(cfg, exit_stack, tmp_path):
    cfg = Config(cfg.to_dict())
    cfg.model.test_cfg.exit_stack = exit_stack
    cfg.experiment_name = f'{tmp_path.name}-{exit_stack}'
    return cfg


@pytest.mark.parametrize('anytime', HEADS, indirect=True)
def test_one_pass_gives_what_testing_each_exit_gives(anytime, tmp_path):
    cfg, checkpoint = anytime
    plain_cfg = slim_config(cfg, 2)
    torch.manual_seed(1)
    torch.save(MODELS.build(plain_cfg.model).state_dict(), tmp_path / 'plain.pth')
    report = evaluate_anytime(cfg, [checkpoint, save(cfg, tmp_path / 'other.pth', 2)],
                              [str(tmp_path / 'plain.pth')], num_timed=2)
    assert [part.exit_stack for part in report.exits] == [1, 2]
    for part in report.exits:
        expected = run_test(at_exit(cfg, part.exit_stack, tmp_path), checkpoint)
        assert part.ap_of_each[0] == expected['coco/bbox_mAP']
        assert part.metrics['AP'] == np.mean(part.ap_of_each) and len(part.ap_of_each) == 2
        counted = count_complexity(slim_config(cfg, part.exit_stack), (256, 256))
        assert (part.params, part.flops) == (counted.params, counted.flops)
        assert 0 < part.latency.neck < part.latency.forward < part.latency.total
    plain_cfg.experiment_name = f'{tmp_path.name}-plain'
    expected = run_test(plain_cfg, str(tmp_path / 'plain.pth'))
    assert report.exits[-1].plain_ap == expected['coco/bbox_mAP']
    assert (report.image_size, report.num_pictures) == ((256, 256), 4)  # resized, for testing


def test_the_tool_writes_table_json_and_picture(anytime, tmp_path, tool_env):
    cfg, checkpoint = anytime
    output = run_python('tools/anytime.py', cfg.filename, checkpoint, '--timed', 1, '--json',
                        tmp_path / 'o/a.json', '--picture', tmp_path / 'o/a.png', '--markdown',
                        tmp_path / 'o/a.md', env=tool_env)
    written = json.loads((tmp_path / 'o/a.json').read_text())
    assert {'AP', 'AP50', 'AP small', 'AP medium', 'AP large'} <= set(written['exits'][0]['metrics'])
    assert written['exits'][1]['latency']['total'] > 0 and 0 <= written['area'] <= 1
    assert (tmp_path / 'o/a.png').stat().st_size > 1000
    assert (tmp_path / 'o/a.md').read_text().splitlines()[0] in output


def test_an_exit_that_detects_nothing_has_an_ap_of_0(anytime):
    cfg, checkpoint = anytime
    cfg.model.test_cfg.score_thr = 1.0
    report = evaluate_anytime(cfg, [checkpoint], num_timed=1)
    assert [part.metrics['AP'] for part in report.exits] == [0, 0] and report.area == 0


def test_flops_of_an_exit_are_those_of_the_forward_pass_that_ends_there(anytime, tmp_path):
    cfg, _ = anytime
    counted = count_exits(cfg, (101, 133))
    assert counted[1].flops < counted[2].flops and counted[1].params < counted[2].params
    for exit_stack, cost in counted.items():
        assert count_complexity(at_exit(cfg, exit_stack, tmp_path), (101, 133)).flops == cost.flops


def test_a_subclass_has_exits_as_well(anytime):
    cfg, _ = anytime
    cfg.model.type = type('Subclass', (AnytimeDetector,), {})
    assert slim_config(cfg, 1).model.type == 'mmdet.SingleStageDetector'


def test_area_is_the_ap_to_expect_when_stopped_at_a_random_moment():
    assert area_under_ap([1, 3, 4], [0.4, 0.5, 0.9]) == pytest.approx((2 * 0.4 + 1 * 0.5) / 4)
    assert area_under_ap([10], [0.5]) == 0
    at_random = np.random.default_rng(0).uniform(0, 4, 100_000)
    expected = np.select([at_random < 1, at_random < 3], [0, 0.4], 0.5).mean()
    assert area_under_ap([1, 3, 4], [0.4, 0.5, 0.9]) == pytest.approx(expected, abs=0.005)


def test_latencies_are_medians_and_a_95th_percentile_that_was_seen():
    runs = [ExitRun(k, (1, 2, 3), backbone=k, neck=t, head=1.0, total=k + t + 3.0)
            for k in (2, 1) for t in range(20)]
    first, second = summarize(runs)
    assert (first.exit_stack, second.exit_stack, first.runs) == (1, 2, 20)
    assert (first.backbone, first.neck, first.head, first.forward) == (1, 9.5, 1, 11.5)
    assert (first.rest, first.total, second.total) == (2, 13.5, 14.5)
    assert first.total_95 == 1 + 19 + 3  # the 95% of 20 runs lie between the last two


def test_a_calibration_is_made_in_one_command_and_keeps_deadlines(anytime, tmp_path, tool_env):
    cfg, checkpoint = anytime
    run_python('tools/calibrate.py', cfg.filename, checkpoint, '--out', tmp_path / 'c.json', '--runs', 3,
               '--json', tmp_path / 'all.json', env=tool_env)
    measured = json.loads((tmp_path / 'all.json').read_text())
    assert measured['shapes'][0]['input_shape'] == [1, 256, 256]
    assert len(measured['shapes'][0]['exits']) == 2
    calibration = Calibration.load(tmp_path / 'c.json')
    assert calibration.machine['threads'] == 1
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # as it was measured
        model = build_anytime(cfg)
        model.load_calibration(tmp_path / 'c.json')
        latencies = model.calibration.inputs[0].exits
        x = torch.rand(1, 3, 256, 256)
        assert model.predict_within(x, latencies[2])[0] == 2
        assert model.predict_within(x, min(latencies.values()) / 2)[0] == 1
    finally:
        torch.set_num_threads(threads)


def test_each_shape_of_input_is_calibrated(anytime, tmp_path):
    cfg, _ = anytime
    from PIL import Image
    paths = []
    for index, size in enumerate(((128, 128), (128, 64), (256, 256))):  # columns, rows
        paths.append(str(tmp_path / f'{index}.png'))
        Image.new('RGB', size).save(paths[-1])
    cfg.test_dataloader.dataset.pipeline[1].scale = (128, 128)
    calibration, shapes = calibrate(cfg, images=paths, num_runs=2)
    assert [part.image_size for part in calibration.inputs] == [(128, 128), (64, 128)]
    assert [[exit.runs for exit in shape.latencies] for shape in shapes] == [[2, 2], [2, 2]]
    calibration, _ = calibrate(cfg, image_size=(96, 64), batch_size=2, num_runs=1)
    (part,) = calibration.inputs
    assert (part.batch_size, part.image_size, list(part.exits)) == (2, (96, 64), [1, 2])


def test_a_slim_checkpoint_tests_in_the_ordinary_config(anytime, tiny_config, tmp_path, tool_env):
    cfg, checkpoint = anytime
    seen = {}
    run_python('tools/slim.py', cfg.filename, checkpoint, tmp_path / 'slim.pth', '--exit', 1,
               '--config-out', tmp_path / 'slim.py', env=tool_env)
    run_test(at_exit(cfg, 1, tmp_path), checkpoint, out=str(tmp_path / 'anytime.pkl'))
    ordinary = load_config(str(tiny_config), str(tmp_path / 'o'), {
        'model.neck.stack_times': 1, 'model.test_cfg.score_thr': 0.0, 'model.test_cfg.nms_pre': 100})
    for name, plain in (('ordinary', ordinary), ('slim', load_config(str(tmp_path / 'slim.py')))):
        plain.work_dir, plain.experiment_name = str(tmp_path / name), f'{tmp_path.name}-{name}'
        run_test(plain, str(tmp_path / 'slim.pth'), out=str(tmp_path / f'{name}.pkl'))
    for name in ('anytime', 'ordinary', 'slim'):
        seen[name] = [x for prediction in load(str(tmp_path / f'{name}.pkl'))
                      for x in prediction['pred_instances'].values()]
    for one, other, anytime_one in zip(seen['ordinary'], seen['slim'], seen['anytime'], strict=True):
        assert len(one) and torch.equal(one, other) and torch.equal(one, anytime_one)
    saved = torch.load(tmp_path / 'slim.pth', weights_only=True)
    assert saved['meta'] == dict(dataset_meta=dict(classes=('circle', 'square', 'triangle')), epoch=7)
    assert not [name for name in saved['state_dict'] if 'exit' in name or 'pyramids.1' in name]
    assert torch.load(checkpoint)['state_dict'].keys() > saved['state_dict'].keys()


def test_slim_refuses_what_it_cannot_cut_and_writes_nothing(anytime, tiny_config, tmp_path):
    cfg, checkpoint = anytime
    out = tmp_path / 'out.pth'
    with pytest.raises(ConversionError, match='exit_stack is 3, .*only: 1, 2'):
        slim_checkpoint(cfg, checkpoint, 3, out)
    with pytest.raises(ConversionError, match=r'is a RetinaNet, but must be a mmnasfpn.AnytimeDetector'):
        slim_checkpoint(load_config(str(tiny_config)), checkpoint, 1, out)
    torch.save(torch.load(checkpoint)['state_dict'] | {'neck.pyramids.0.cells.0.conv.conv.weight':
                                                       torch.zeros(3)}, tmp_path / 'wrong.pth')
    with pytest.raises(CheckpointError, match='other shapes'):
        slim_checkpoint(cfg, tmp_path / 'wrong.pth', 1, out)
    torch.save(dict(state_dict=5), tmp_path / 'none.pth')
    with pytest.raises(CheckpointError, match='no weights by name'):
        slim_checkpoint(cfg, tmp_path / 'none.pth', 1, out)
    for config_out, words in ((out, 'name two files'), (tmp_path / 'x.txt', 'must end in .py')):
        with pytest.raises(ConversionError, match=words):
            slim_checkpoint(cfg, checkpoint, 1, out, config_out)
    assert not out.exists() and not (tmp_path / 'x.txt').exists()
    out.write_text('precious')
    with pytest.raises(FileExistsError, match='name another file'):
        slim_checkpoint(cfg, checkpoint, 1, out)
    assert out.read_text() == 'precious'


@pytest.mark.parametrize(('change', 'words'), [
    ({'model.type': 'mmdet.RetinaNet'}, 'a mmdet.RetinaNet, but must be a mmnasfpn.AnytimeDetector'),
    ({'val_evaluator': dict(type='mmdet.VOCMetric')}, r'has no dict\(type=.mmdet.CocoMetric'),
    ({'val_dataloader.dataset.ann_file': 'none.json'}, "ann_file is 'none.json'"),
])
def test_what_cannot_be_evaluated_is_named(anytime, change, words):
    cfg, checkpoint = anytime
    cfg.merge_from_dict({key: value if not isinstance(value, dict) else dict(value, _delete_=True)
                         for key, value in change.items()})
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        evaluate_anytime(cfg, [checkpoint], num_timed=1)


def test_missing_files_and_impossible_numbers_and_sets_are_named(anytime):
    cfg, checkpoint = anytime
    with pytest.raises(FileNotFoundError, match=r"checkpoint is 'none.pth', but there is no such file"):
        evaluate_anytime(cfg, [checkpoint], ['none.pth'])
    with pytest.raises(FileNotFoundError, match=r'there is no file none.jpg'):
        calibrate(cfg, images=['none.jpg'])
    for arguments, words in ((dict(num_runs=0), 'num_runs is 0'),
                             (dict(batch_size=0), 'batch_size is 0'),
                             (dict(image_size=(0, 64)), 'image_size is 0')):
        with pytest.raises(ValueError, match=words):
            calibrate(cfg, **arguments)
    with pytest.raises(ValueError, match='num_timed is 0'):
        evaluate_anytime(cfg, [checkpoint], num_timed=0)
    with pytest.raises(ValueError, match='checkpoints is empty'):
        evaluate_anytime(cfg, [])
    with pytest.raises(ConversionError, match='is of an anytime detector'):
        evaluate_anytime(cfg, [checkpoint], [checkpoint], num_timed=1)
    cfg.val_dataloader = None
    with pytest.raises(ValueError, match='the config has no val_dataloader'):
        calibrate(cfg)


@pytest.mark.parametrize(('trained_as', 'tested_as'), [
    ('separate', 'own_norms'), ('own_norms', 'separate'), ('separate', 'shared'),
    ('own_norms', 'shared'), ('shared', 'own_norms')])
def test_heads_of_another_kind_are_refused(anytime, trained_as, tested_as, tmp_path):
    cfg, _ = anytime
    cfg.model.heads = trained_as
    checkpoint = save(cfg, tmp_path / 'trained.pth', 0)
    cfg.model.heads = tested_as
    with pytest.raises(CheckpointError, match='weights of exits|lacks .* weights'):
        run_test(cfg, checkpoint)
