"""Checks and changes of a config before a run, also where several processes run."""
import pytest
from mmengine.config import Config

from mmnasfpn.engine import run
from mmnasfpn.engine.preflight import DataReport
from mmnasfpn.errors import UsageError
from tests.conftest import DEMO_CONFIG


@pytest.fixture
def others(monkeypatch):
    """Play processes that found something; return a function that sets what."""
    def play(*found):
        monkeypatch.setattr(run, 'is_distributed', lambda: True)
        monkeypatch.setattr(run, 'all_gather_object', lambda own: [own, *found])
    return play


def test_one_process_of_each_machine_checks_the_data(monkeypatch, others):
    asked = []
    monkeypatch.setattr(run, 'check_data', lambda *_: asked.append(1) or DataReport(('a',)))
    others(None, DataReport(('b',)))
    monkeypatch.setenv('LOCAL_RANK', '0')
    assert run._check_data_once(Config(), (), frozenset()).warnings == ('a',)
    monkeypatch.setenv('LOCAL_RANK', '1')
    assert run._check_data_once(Config(), (), frozenset()).warnings == ('b',)
    assert len(asked) == 1


@pytest.mark.parametrize('local_rank', ['0', '1'])
def test_all_processes_end_by_what_one_found(monkeypatch, others, local_rank):
    monkeypatch.setattr(run, 'check_data', lambda *_: DataReport())
    monkeypatch.setenv('LOCAL_RANK', local_rank)
    others(DataReport(), ValueError('no boxes'))
    with pytest.raises(ValueError, match='no boxes'):
        run._check_data_once(Config(), (), frozenset())


@pytest.mark.parametrize('output', ['data/annotations/val.json', 'data/other.json', 'a.json'])
def test_what_is_read_is_not_written_over(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.json').touch()
    cfg = Config(dict(
        test_dataloader=dict(dataset=dict(data_root='data', ann_file='annotations/val.json')),
        test_evaluator=[dict(type='CocoMetric', ann_file='data/other.json')]))
    with pytest.raises(UsageError, match='would be written over'):
        run.evaluate(cfg, 'a.json', json_path=str(tmp_path / output))


@pytest.mark.parametrize(('hooks', 'expected'), [
    (None, dict(type='mmnasfpn.AtomicCheckpointHook', interval=1)),
    (dict(checkpoint=dict(type='CheckpointHook', interval=3)),
     dict(type='mmnasfpn.AtomicCheckpointHook', interval=3)),
    (dict(checkpoint=dict(type='EMAHook')), dict(type='EMAHook')),  # stands for one of the user's own
    (dict(checkpoint=None), None)])
def test_checkpoints_survive_a_kill_whatever_the_config(monkeypatch, hooks, expected):
    class BuiltError(Exception):
        pass

    def build_runner(cfg, *_, **__):
        assert cfg.default_hooks['checkpoint'] == expected
        raise BuiltError

    monkeypatch.setattr(run, 'build_runner', build_runner)
    monkeypatch.setattr(run, 'check_config', lambda *_: None)
    with pytest.raises(BuiltError):
        run.train(Config(dict(default_hooks=hooks) if hooks else {}))


def test_a_config_of_ours_is_found_by_the_name_of_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run.load_config(DEMO_CONFIG.name).model == run.load_config(DEMO_CONFIG).model
    (tmp_path / DEMO_CONFIG.name).write_text('model = dict(type="A")')  # which comes first
    assert run.load_config(DEMO_CONFIG.name).model.type == 'A'


def test_each_part_of_a_data_set_gets_the_pipeline_of_test_time_augmentation():
    def part(size):
        return dict(type='CocoDataset', pipeline=[dict(type='Resize', scale=size), dict(type='Pack')])

    cfg = Config(dict(model=dict(type='A'), test_dataloader=dict(dataset=dict(
        type='ConcatDataset', datasets=[part(1), dict(type='RepeatDataset', dataset=part(2))]))))
    run._use_tta(cfg)
    first, second = cfg.test_dataloader.dataset.datasets
    for number, leaf in ((1, first), (2, second.dataset)):
        assert [transform.type for transform in leaf.pipeline] == ['Resize', 'TestTimeAug']
        assert leaf.pipeline[0].scale == number
    assert cfg.model.module.type == 'A'
