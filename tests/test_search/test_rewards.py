"""Rewards: the match with a target, and the proxy task."""
import random
from dataclasses import replace

import pytest
from mmengine.config import Config

from mmnasfpn.datasets import read_annotations
from mmnasfpn.engine.preflight import data as data_checks
from mmnasfpn.engine.run import load_config
from mmnasfpn.genotypes import Genotype, MergingCell, get_genotype
from mmnasfpn.search import SearchSpace
from mmnasfpn.search.proxy_task import train_and_evaluate, with_genotype
from mmnasfpn.search.rewards import GenotypeMatch, build_reward
from mmnasfpn.search.run import space_of
from tests.conftest import DEMO_CONFIG, REPO

NASFPN = get_genotype('nasfpn')
SPACE = SearchSpace()


def match(genotype, target=NASFPN):
    return GenotypeMatch(Config(), SPACE, target)(genotype)


def with_cell(index, **changes):
    cells = list(NASFPN.cells)
    cells[index] = replace(cells[index], **changes)
    return Genotype(cells)


def test_the_match_is_the_share_of_equal_fields():
    assert match(NASFPN) == 1
    assert match(with_cell(0, op='sum')) == 27 / 28
    assert match(with_cell(0, level=5)) == 27 / 28
    assert match(with_cell(0, inputs=(1, 4))) == 27 / 28
    assert match(with_cell(0, inputs=(0, 4), op='sum', level=5)) == 24 / 28


def test_the_match_does_not_mind_the_order_of_inputs_where_it_does_not_matter():
    assert match(with_cell(0, inputs=(3, 1))) == 1
    assert match(with_cell(0, inputs=(4, 1))) == 27 / 28
    # Node 6 and node 8 of the first output are of one level: there the first one gates.
    target = Genotype([*NASFPN.cells[:3], MergingCell(4, 'gp', (5, 6), True), *NASFPN.cells[4:]])
    swapped = Genotype([*NASFPN.cells[:3], MergingCell(4, 'gp', (6, 5), True), *NASFPN.cells[4:]])
    assert match(swapped, target) == 26 / 28


def test_the_match_of_random_genotypes_is_under_a_half():
    rng = random.Random(0)
    rewards = [match(SPACE.sample(rng)) for _ in range(300)]
    assert 0.2 < sum(rewards) / 300 < 0.5 and max(rewards) < 0.8


def test_a_target_may_be_a_file(tmp_path):
    (tmp_path / 'target.json').write_text(NASFPN.to_json())
    assert match(NASFPN, str(tmp_path / 'target.json')) == 1


def test_a_target_of_another_space_is_refused():
    with pytest.raises(ValueError, match='target is .nasfpn_lite., but the genotype is not in the'):
        GenotypeMatch(Config(), SPACE, 'nasfpn_lite')


@pytest.mark.parametrize(('cfg', 'words'), [
    (dict(reward=dict(type='Nothing')), "reward: type is 'Nothing', but .*GenotypeMatch, .*ProxyTask"),
    (dict(reward=dict(type='GenotypeMatch')), "reward: .*missing 1 required.*'target'"),
    (dict(reward=dict(type='GenotypeMatch', target='nasfpn', tarbet=1)), "reward: .*'tarbet'"),
    (dict(), "model.neck is missing.*'mmnasfpn.NASFPN'"),
    (dict(model=dict(neck=dict(type='mmdet.FPN'))), "model.neck is of type 'mmdet.FPN'"),
    (dict(model=dict(neck=dict(type='NASFPN')), default_scope='mmdet'),
     "of type 'NASFPN', but .*'mmnasfpn.NASFPN'"),
    (dict(model=dict(neck=dict(type='mmdet.NASFPN'))), "of type 'mmdet.NASFPN'"),
    (dict(model=dict(neck=dict(type='mmnasfpn.FPN'))), "of type 'mmnasfpn.FPN'"),
    (dict(model=dict(neck=dict(type='mmnasfpn.NASFPN', num_outs=4))),
     'num_outs=4, but the space has 5 levels'),
])
def test_a_reward_that_does_not_fit_is_named(cfg, words):
    with pytest.raises(ValueError, match=words):
        build_reward(Config(cfg), SPACE)


def test_the_space_of_a_config_has_the_levels_of_its_neck():
    assert space_of(load_config(str(DEMO_CONFIG))) == SearchSpace()
    cfg = load_config(str(REPO / 'configs/nasfpn/rtmdet_tiny_nasfpn-3x96_8xb32-300e_coco.py'))
    assert space_of(cfg) == SearchSpace(3, 5)


def test_a_neck_that_comes_through_the_package_is_one(tmp_path):
    (tmp_path / 'mine.py').write_text(f"_base_ = ['mmnasfpn::nasfpn/{DEMO_CONFIG.name}']\n")
    assert space_of(load_config(str(tmp_path / 'mine.py'))) == SearchSpace()


@pytest.mark.parametrize(('search_space', 'words'), [
    (dict(level=3), "search_space: .*'level'"), (dict(min_level=7), 'no genotype')])
def test_a_search_space_that_does_not_fit_is_named(search_space, words):
    with pytest.raises(ValueError, match=words):
        space_of(Config(dict(search_space=search_space)))


def test_the_proxy_task_trains_the_genotype_and_returns_the_ap(tiny_config, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(data_checks, 'read_annotations',
                        lambda path: read.append(path.name) or read_annotations(path))
    cfg = load_config(str(tiny_config))
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name
    genotype = SPACE.sample(random.Random(4))
    assert with_genotype(cfg, genotype).model.neck.genotype == genotype.to_dict()
    reward = build_reward(cfg, SPACE)
    reward.check()
    assert sorted(read) == ['train.json', 'val.json']
    assert reward(genotype, tmp_path / 'trial') == 0  # three epochs of three steps detect nothing
    assert len(read) == 2  # trials do not check again what has not changed
    assert not list((tmp_path / 'trial').rglob('*.pth'))
    assert 'nasfpn' not in str(cfg.model.neck.get('genotype', ''))
    trained = Config.fromfile(next((tmp_path / 'trial').glob('*.py')))
    assert get_genotype(trained.model.neck.genotype) == genotype


def test_a_metric_that_the_evaluator_does_not_have_is_named(tiny_config, monkeypatch):
    cfg = load_config(str(tiny_config))
    cfg.reward = dict(type='ProxyTask', metric='AP')
    reward = build_reward(cfg, SPACE)
    monkeypatch.setattr('mmnasfpn.search.proxy_task.train_and_evaluate',
                        lambda *_: {'coco/bbox_mAP': 0.5, 'coco/bbox_mAP_50': 0.6})
    with pytest.raises(ValueError, match="metric is 'AP'.*coco/bbox_mAP, coco/bbox_mAP_50"):
        reward(NASFPN, 'w')


def test_a_config_without_hooks_trains(tiny_config, tmp_path):
    cfg = load_config(str(tiny_config))
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name
    cfg.default_hooks = None
    cfg.train_cfg.update(max_epochs=1, val_begin=5)
    metrics = train_and_evaluate(cfg, NASFPN, tmp_path / 'trial')
    assert metrics['coco/bbox_mAP'] == 0  # of a model that detects nothing yet


def test_a_training_that_diverges_is_an_error(tiny_config, tmp_path):
    cfg = load_config(str(tiny_config))
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e30))
    cfg.param_scheduler = []
    with pytest.raises(FloatingPointError, match='training diverged'):
        train_and_evaluate(cfg, NASFPN, tmp_path / 'trial')


@pytest.mark.parametrize(('changes', 'error', 'words'), [
    (dict(val_evaluator=None), ValueError, 'the config has no val_evaluator'),
    (dict(train_dataloader=None), ValueError, 'the config has no train_dataloader'),
    ({'val_dataloader.dataset': dict(type='mmdet.CocoDataset', data_root='/nowhere')},
     FileNotFoundError, '/nowhere'),
    ({'model.bbox_head.in_channels': 16}, ValueError, 'in_channels is 16')],
    ids=['no evaluator', 'no data loader', 'no data', 'another head'])
def test_what_cannot_be_trained_or_evaluated_is_named_before_the_search(
        changes, error, words, tiny_config):
    cfg = load_config(str(tiny_config))
    cfg.merge_from_dict(changes)
    with pytest.raises(error, match=words):
        build_reward(cfg, SPACE).check()
