"""What a training says at its end, and what it writes for TensorBoard."""
import json
import shlex
from types import SimpleNamespace

import cv2
import pytest
from mmengine.logging import MessageHub, MMLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmnasfpn.engine import results
from mmnasfpn.engine import run as engine_run
from mmnasfpn.engine.run import evaluate, load_config, train
from tests.conftest import write_tiny_config

SETTINGS = '''
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks['checkpoint'] = dict(save_best='coco/bbox_mAP', rule='greater')
model['test_cfg'] = dict(score_thr=0.0)
visualizer = dict(vis_backends=[
    dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
'''


def train_here(config, work_dir, **options):
    """Train, and return what was logged."""
    cfg = load_config(config, work_dir)
    cfg.experiment_name = cfg.visualizer.name = f'{work_dir}-{len(list(work_dir.glob("*/")))}'
    train(cfg, **options)
    return max(work_dir.glob('*/*.log')).read_text()


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """The config, the work dir and the log of a training of three iterations."""
    folder = tmp_path_factory.mktemp('my runs')
    config = write_tiny_config(folder)
    with open(config, 'a') as file:
        file.write(SETTINGS)
    return config, folder / 'w', train_here(config, folder / 'w')


def test_a_training_says_where_everything_is(run):
    _, work_dir, log = run
    lines = log.partition('It left:\n')[2].partition('What you can do next:')[0].splitlines()
    found = {line[:17].strip(): line[17:].strip() for line in lines}
    log_dir = next(work_dir.glob('*/*.log')).parent
    events, = log_dir.glob('vis_data/events*')
    assert found == {
        'last checkpoint': str(work_dir / 'epoch_1.pth'),
        'best checkpoint': str(work_dir / 'best_coco_bbox_mAP_epoch_1.pth'),
        'curves': str(work_dir / 'curves.png'), 'config': str(work_dir / 'tiny.py'),
        'log': str(log_dir / f'{log_dir.name}.log'),
        'scalars': str(log_dir / 'vis_data/scalars.json'), 'TensorBoard': str(events)}
    assert cv2.imread(str(work_dir / 'curves.png')) is not None


def test_a_training_says_what_to_do_next_with_its_best_checkpoint(run):
    _, work_dir, log = run
    commands = list(map(shlex.split, log.partition('What you can do next:\n')[2].splitlines()))
    config, best = str(work_dir / 'tiny.py'), str(work_dir / 'best_coco_bbox_mAP_epoch_1.pth')
    assert commands == [
        ['mim', 'test', 'mmnasfpn', config, '--checkpoint', best],
        ['mim', 'run', 'mmnasfpn', 'predict', config, best, 'IMAGE...', '--out',
         str(work_dir / 'predictions')],
        ['mim', 'run', 'mmnasfpn', 'analyze', config, best, '--out', str(work_dir / 'analysis')]]


def test_tensorboard_gets_the_losses_and_the_metrics(run):
    _, work_dir, _ = run
    events, = work_dir.glob('*/vis_data/events*')
    scalars = EventAccumulator(str(events)).Reload()
    entries = [json.loads(line) for line in (events.parent / 'scalars.json').read_text().splitlines()]
    for key, number in (('loss', 3), ('loss_bbox', 3), ('coco/bbox_mAP', 1)):
        expected = [entry[key] for entry in entries if key in entry]
        assert [event.value for event in scalars.Scalars(key)] == pytest.approx(expected)
        assert len(expected) == number


def test_a_resumed_training_with_nothing_left_says_it_too(run):
    config, work_dir, before = run
    log = train_here(config, work_dir, resume=True)
    assert 'Epoch(train)' in before and 'Epoch(train)' not in log
    assert log.partition('next:')[2] == before.partition('next:')[2] != ''
    assert str(work_dir / 'best_coco_bbox_mAP_epoch_1.pth') in log


def test_a_test_with_the_config_that_a_resumed_training_leaves_resumes_nothing(tiny_config, monkeypatch):
    class BuiltError(Exception):
        pass

    def build_runner(cfg, *_, **__):
        assert cfg.load_from == str(tiny_config) and not cfg.resume
        raise BuiltError

    monkeypatch.setattr(engine_run, 'build_runner', build_runner)
    with pytest.raises(BuiltError):
        evaluate(load_config(tiny_config, cfg_options=dict(resume=True)), str(tiny_config))


def report(work_dir, **info):
    """Report on a training that left no more than this."""
    logger = MMLogger.get_instance(f'{work_dir}', log_file=str(work_dir / '1/1.log'))
    hub = MessageHub.get_instance(f'{work_dir}')
    hub.update_info_dict(info)
    results.report_results(SimpleNamespace(
        work_dir=str(work_dir), log_dir=str(work_dir / '1'), logger=logger, message_hub=hub,
        cfg=SimpleNamespace(filename='mine.py')))
    return (work_dir / '1/1.log').read_text()


def test_only_what_is_there_is_named(tmp_path):
    (tmp_path / '1').mkdir()
    log = report(tmp_path, last_ckpt=str(tmp_path / 'epoch_1.pth'))
    assert f'log             {tmp_path}/1/1.log' in log
    assert not any(word in log for word in ('epoch_1', 'curves', 'scalars', 'mine.py', 'next', 'WARN'))


def test_curves_that_cannot_be_drawn_do_not_fail_a_training(tmp_path, monkeypatch):
    (tmp_path / '1').mkdir()
    monkeypatch.setattr(results, 'draw_curves', lambda *_: 1 / 0)
    log = report(tmp_path, last_ckpt='s3://bucket/epoch_1.pth')
    assert 'curves.png could not be drawn: division by zero' in log
    assert 'last checkpoint s3://bucket/epoch_1.pth' in log


def test_only_the_main_process_reports(monkeypatch):
    monkeypatch.setattr(engine_run, 'check_config', lambda *_: None)
    monkeypatch.setattr(engine_run, 'build_runner', lambda *_, **__: SimpleNamespace(train=lambda: None))
    reported = []
    monkeypatch.setattr(engine_run, 'report_results', reported.append)
    for is_main in (True, False):
        monkeypatch.setattr(engine_run, 'is_main_process', lambda is_main=is_main: is_main)
        train(load_config('retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'))
    assert len(reported) == 1
