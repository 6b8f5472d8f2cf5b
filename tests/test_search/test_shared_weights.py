"""Shared weights: a supernet is trained once, and genotypes are evaluated with its weights."""
import copy
import json
import random
from pathlib import Path

import pytest
import torch
from mmengine.hub import get_config
from mmengine.registry import HOOKS, MODELS, init_default_scope
from torch import nn

from mmnasfpn.checkpoints.safe import CheckpointError, load_checkpoint
from mmnasfpn.engine.run import load_config
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search import SearchSpace
from mmnasfpn.search.rewards import build_reward, with_genotype
from mmnasfpn.search.shared_weights import first_batches
from mmnasfpn.search.supernet import (
    SampleGenotypeHook,
    build_supernet,
    check_supernet,
    copy_weights,
    finished_supernet,
    measure_statistics,
    supernet_config,
    supernet_weights,
    train_supernet,
)
from tests.conftest import REPO
from tests.test_search.searches import completed, search, shared_weights_config

SPACE = SearchSpace()
GENOTYPES = [SPACE.sample(random.Random(seed)) for seed in range(3)]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A config, and a supernet that was trained for it."""
    folder = tmp_path_factory.mktemp('shared')
    cfg = shared_weights_config(folder / 'tiny')
    reward = build_reward(cfg, SPACE)
    reward.check()
    reward.prepare(folder, '')
    return cfg, reward


def random_detector(cfg, genotype=None):
    """A detector whose norms have done some work."""
    init_default_scope('mmdet')
    detector = MODELS.build(copy.deepcopy((with_genotype(cfg, genotype) if genotype else cfg).model))
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return detector.eval()


def flat(outputs):
    return [x for part in outputs for x in part]


def test_a_pyramid_of_a_supernet_is_bit_for_bit_the_plain_detector_with_those_weights(trained):
    cfg, reward = trained
    torch.manual_seed(0)
    supernet = random_detector(reward.supernet_cfg)
    image = torch.randn(2, 3, 128, 96)
    for genotype in GENOTYPES:
        plain = random_detector(cfg, genotype)
        copy_weights(supernet, plain)
        supernet.neck.set_genotype(genotype)
        with torch.no_grad():
            found, expected = (flat(model(image, mode='tensor')) for model in (plain, supernet))
        assert len(found) == 10 and all(map(torch.equal, found, expected))


def test_measured_statistics_are_means_over_the_batches_and_leave_weights_as_they_are(trained):
    detector = random_detector(trained[0], GENOTYPES[0])
    before = {name: x.clone() for name, x in detector.state_dict().items()}
    norm = detector.neck.laterals[0].norm
    seen = []
    norm.register_forward_hook(lambda module, inputs, _: seen.append(inputs[0]))
    images = torch.randint(256, (3, 4, 3, 128, 128), dtype=torch.uint8)
    batches = [list(batch) for batch in images]
    measure_statistics(detector, batches)
    after = detector.state_dict()
    changed = {name for name, x in after.items() if not torch.equal(x, before[name])}
    assert changed and all('running_' in name or 'num_batches' in name for name in changed)
    assert not any(name.startswith('backbone.') for name in changed)
    assert not any(name.endswith('running_mean') and name not in changed for name in after
                   if not name.startswith('backbone.'))
    assert torch.allclose(norm.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
    assert torch.allclose(norm.running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    assert not detector.training and norm.momentum is not None
    mean = norm.running_mean.clone()
    measure_statistics(detector, batches)  # from anew
    assert torch.allclose(norm.running_mean, mean)


def test_the_pyramid_of_a_step_follows_from_the_seed_and_the_step():
    hook, other = (SampleGenotypeHook(SPACE.to_dict(), seed) for seed in (0, 1))
    drawn = [hook.genotype(step) for step in range(20)]
    assert drawn == [SampleGenotypeHook(SPACE.to_dict()).genotype(step) for step in range(20)]
    assert len(set(drawn)) == 20 and drawn[0] != other.genotype(0)


def test_the_first_steps_train_the_pyramid_of_the_warm_up_alone(trained):
    cfg = supernet_config(trained[0], SPACE, {}, dict(genotype='nasfpn', steps=2))
    hook = HOOKS.build(cfg.custom_hooks[-1])
    plain = SampleGenotypeHook(SPACE.to_dict())
    assert [hook.genotype(step) for step in range(2)] == [get_genotype('nasfpn')] * 2
    assert [hook.genotype(step) for step in (2, 3)] == [plain.genotype(step) for step in (2, 3)]
    assert build_reward(trained[0], SPACE).supernet_cfg.custom_hooks[-1].get('warm_up') is None


@pytest.mark.parametrize(('warm_up', 'words'), [
    (dict(genotype='nasfpn'), 'warm_up has genotype, but must have genotype and steps'),
    (dict(genotype='nasfpn', steps=0), 'warm_up.steps is 0'),
    (dict(genotype='fpn', steps=5), 'warm_up: the genotype is not in the space: its number of cells'),
])
def test_a_warm_up_that_is_none_is_refused(trained, warm_up, words):
    with pytest.raises(ValueError, match=words):
        build_reward(trained[0], SPACE, dict(type='SharedWeights', warm_up=warm_up))


def test_a_supernet_is_trained_once_and_its_training_goes_on_where_it_stopped(trained, tmp_path):
    cfg, reward = trained
    longer = supernet_config(cfg, SPACE, dict(train_cfg=dict(max_epochs=2)))
    folder = tmp_path / 'supernet'
    first, seconds = train_supernet(reward.supernet_cfg, folder)
    assert 0.1 < seconds < 100
    assert first.name == 'epoch_1.pth' and finished_supernet(folder, longer) is None
    written = first.stat().st_mtime_ns
    assert train_supernet(reward.supernet_cfg, folder) == (first, 0)
    second, _ = train_supernet(longer, folder)
    assert second.name == 'epoch_2.pth' and first.stat().st_mtime_ns == written
    assert load_checkpoint(second)['meta']['iter'] == 6
    steps = [json.loads(line).get('step') for path in folder.glob('*/vis_data/scalars.json')
             for line in path.read_text().splitlines() if 'loss' in line]
    assert sorted(steps) == [1, 2, 3, 4, 5, 6]  # none twice
    moved = folder.rename(tmp_path / 'moved')
    assert finished_supernet(moved, longer) == moved / 'epoch_2.pth'


def test_a_training_of_a_supernet_that_fails_says_where_its_log_is(trained, tmp_path):
    cfg = supernet_config(trained[0], SPACE, dict(optim_wrapper=dict(optimizer=dict(type='Nothing'))))
    with pytest.raises(RuntimeError, match=f'its log is in {tmp_path}'):
        train_supernet(cfg, tmp_path)


def test_a_metric_that_is_not_there_is_named_before_a_supernet_is_trained(tmp_path):
    cfg = shared_weights_config(tmp_path / 'tiny', **{'reward.metric': 'coco/AP'})
    with pytest.raises(ValueError, match="metric is 'coco/AP', but the evaluator .* returns coco/bbox_"):
        search(cfg, tmp_path / 'w', 1)
    assert not (tmp_path / 'w').exists()


def test_a_supernet_that_diverged_is_refused(trained, tmp_path):
    cfg, reward = trained
    checkpoint = load_checkpoint(reward.checkpoint)
    checkpoint['state_dict']['neck.convs.0.0.conv.weight'][0] = float('nan')
    torch.save(checkpoint, tmp_path / 'diverged.pth')
    other = build_reward(cfg, SPACE, dict(
        type='SharedWeights', checkpoint=str(tmp_path / 'diverged.pth')))
    with pytest.raises(CheckpointError, match='diverged: neck.convs.0.0.conv.weight is not finite'):
        other.prepare(tmp_path, '')


def test_a_supernet_that_was_not_trained_to_its_end_is_told(trained, monkeypatch):
    lines = []
    monkeypatch.setattr('mmnasfpn.search.shared_weights.print_log', lambda line, **_: lines.append(line))
    cfg, reward = trained
    for epochs in (1, 2):
        build_reward(cfg, SPACE, dict(type='SharedWeights', checkpoint=str(reward.checkpoint),
                                      supernet=dict(train_cfg=dict(max_epochs=epochs)))).check()
    line, = lines
    assert 'was not trained as long as the config says' in line


def test_statistics_are_measured_on_the_same_images_each_time(tmp_path):
    cfg = shared_weights_config(tmp_path / 'tiny')
    init_default_scope('mmdet')
    cfg.train_dataloader.dataset.pipeline.insert(2, dict(type='mmdet.RandomFlip', prob=0.5))
    first, second = (first_batches(cfg, 2) for _ in range(2))
    assert all(map(torch.equal, flat(first), flat(second)))


def test_a_search_evaluates_with_the_weights_of_its_supernet(trained, tmp_path, no_graphs):
    cfg, reward = trained
    cfg.reward.checkpoint = str(reward.checkpoint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmnasfpn.search.shared_weights.SharedWeights.needs_process', False)
        summary = search(cfg, tmp_path / 'w', 2, sampler='random', start=dict(nasfpn='nasfpn'))
    assert summary['completed'] == 2 and set(summary['starts']) == {'nasfpn'}
    assert summary['preparation']['result'] == reward.prepare(tmp_path / 'w', '')
    assert all(0 <= trial.value < 1 for trial in completed(tmp_path / 'w'))
    assert reward(GENOTYPES[0], tmp_path) == reward(GENOTYPES[0], tmp_path)  # the same images


def test_a_record_of_another_supernet_is_refused(trained, tmp_path):
    reward = build_reward(trained[0], SPACE)
    reward.checkpoint = trained[1].checkpoint
    with pytest.raises(CheckpointError, match="another supernet, abc, than .*: give its file"):
        reward.prepare(tmp_path, 'abc')
    reward.checkpoint = None
    with pytest.raises(CheckpointError, match='a supernet, abc, that is not in'):
        reward.prepare(tmp_path, 'abc')


def test_each_supernet_has_a_file_of_its_own_in_a_work_dir(trained, tmp_path):
    cfg, first = trained
    checkpoint = load_checkpoint(first.checkpoint)
    checkpoint['state_dict']['neck.convs.0.0.conv.weight'] += 1
    torch.save(checkpoint, tmp_path / 'other.pth')
    for path in (tmp_path / 'other.pth', first.checkpoint):
        reward = build_reward(cfg, SPACE, dict(type='SharedWeights', checkpoint=str(path)))
        reward.prepare(tmp_path, '')
        weights = torch.load(reward.shared, weights_only=True)['weights']
        assert torch.equal(weights['neck.convs.0.0.conv.weight'],
                           load_checkpoint(path)['state_dict']['neck.convs.0.0.conv.weight'])


def test_another_number_of_batches_is_read_anew(trained, tmp_path):
    cfg, first = trained
    for number in (1, 2):
        reward = build_reward(cfg, SPACE, dict(
            type='SharedWeights', checkpoint=str(first.checkpoint), num_batches=number))
        reward.prepare(tmp_path, '')
        assert len(torch.load(reward.shared, weights_only=True)['batches']) == number


@pytest.mark.parametrize(('changes', 'space', 'words'), [
    ({}, SearchSpace(ops=['sum']), r'another search space: space.ops was .*, and is \[.sum.\]'),
    ({'model.backbone.base_channels': 8, 'model.neck.in_channels': [8, 16, 32, 64]}, SPACE,
     'another detector: model.backbone.base_channels was 4, and is 8'),
], ids=['space', 'detector'])
def test_a_supernet_of_another_config_is_refused(changes, space, words, trained):
    cfg, reward = trained
    cfg = cfg.copy()
    cfg = load_config(cfg.filename)
    cfg.merge_from_dict(changes)
    with pytest.raises(CheckpointError, match=words):
        check_supernet(reward.checkpoint, supernet_config(cfg, space, {}))


def test_a_supernet_of_other_data_is_refused(trained, tmp_path):
    cfg, reward = trained
    (tmp_path / 'other.json').write_text('{}')
    other = supernet_config(cfg, SPACE, {})
    other.train_dataloader.dataset.update(data_root=str(tmp_path), ann_file='other.json')
    with pytest.raises(CheckpointError, match=r'another data set: data was \['):
        check_supernet(reward.checkpoint, other)


def test_a_checkpoint_that_is_no_supernet_is_refused(trained, tmp_path):
    torch.save(dict(state_dict={}, meta={}), tmp_path / 'plain.pth')
    reward = build_reward(load_config(trained[0].filename), SPACE, dict(
        type='SharedWeights', checkpoint=str(tmp_path / 'plain.pth')))
    with pytest.raises(CheckpointError, match='plain.pth is no checkpoint of a supernet'):
        reward.check()


def test_the_weights_of_a_supernet_are_those_of_its_checkpoint(trained):
    _, reward = trained
    weights = supernet_weights(reward.checkpoint)
    loaded = build_supernet(reward.supernet_cfg, weights).state_dict()
    saved = load_checkpoint(reward.checkpoint)['state_dict']
    assert loaded.keys() == saved.keys() and all(torch.equal(loaded[key], saved[key]) for key in saved)


def test_what_a_supernet_cannot_differ_in_is_named(trained):
    cfg = load_config(trained[0].filename)
    with pytest.raises(ValueError, match="supernet has 'model'.*change the model of the config"):
        supernet_config(cfg, SPACE, dict(model=dict(neck=dict(out_channels=4))))
    with pytest.raises(ValueError, match='have both max_epochs and max_iters'):
        supernet_config(cfg, SPACE, dict(train_cfg=dict(max_iters=4)))
    cfg.load_from = 'some.pth'
    with pytest.raises(ValueError, match="load_from is 'some.pth', but a supernet begins from nothing"):
        build_reward(cfg, SPACE, dict(type='SharedWeights')).check()


def test_hooks_of_its_own_leave_a_supernet_its_genotypes(trained):
    changed = supernet_config(trained[0], SPACE, dict(custom_hooks=[dict(type='EMAHook')]))
    assert [hook['type'] for hook in changed.custom_hooks] == [
        'EMAHook', 'mmdet.CheckInvalidLossHook', 'mmnasfpn.SampleGenotypeHook']


def test_nothing_stops_the_training_of_a_supernet_early_or_keeps_it_from_saving(trained):
    cfg = load_config(trained[0].filename)
    cfg.custom_hooks = [dict(type='EarlyStoppingHook', monitor='coco/bbox_mAP')]
    for given in (None, dict(type='CheckpointHook', by_epoch=False, save_last=False, out_dir='x')):
        cfg.default_hooks.checkpoint = given
        changed = supernet_config(cfg, SPACE, {})
        assert not any(hook['type'] == 'EarlyStoppingHook' for hook in changed.custom_hooks)
        hook = changed.default_hooks.checkpoint
        assert (hook.type, hook.by_epoch, hook.interval) == ('CheckpointHook', True, 1)
        assert 'save_last' not in hook and 'out_dir' not in hook
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=4000)
    hook = supernet_config(cfg, SPACE, {}).default_hooks.checkpoint
    assert (hook.by_epoch, hook.interval) == (False, 200)


def test_two_stage_detectors_get_their_weights_and_statistics_too():
    cfg = get_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
    cfg.merge_from_dict({
        'model.backbone.depth': 18, 'model.backbone.base_channels': 4, 'model.backbone.init_cfg': None,
        'model.neck': dict(_delete_=True, type='mmnasfpn.NASFPN', in_channels=[4, 8, 16, 32],
                           out_channels=8, num_outs=5, stack_times=1),
        'model.rpn_head.in_channels': 8, 'model.rpn_head.feat_channels': 8,
        'model.roi_head.bbox_roi_extractor.out_channels': 8,
        'model.roi_head.bbox_head.in_channels': 8, 'model.roi_head.bbox_head.fc_out_channels': 8})
    supernet = random_detector(supernet_config(cfg, SPACE, {}))
    plain = random_detector(cfg, GENOTYPES[0])
    copy_weights(supernet, plain)
    cell = plain.neck.pyramids[0].cells[3]
    for ours, shared in ((plain.roi_head.bbox_head.fc_cls, supernet.roi_head.bbox_head.fc_cls),
                         (cell.conv.conv, supernet.neck.convs[0][3].conv)):
        assert torch.equal(ours.weight, shared.weight)
    norm = cell.conv.norm
    measure_statistics(plain, [list(torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8))])
    assert norm.num_batches_tracked == 1 and norm.running_mean.abs().min() > 0


def test_a_search_goes_on_where_its_supernet_is_named_by_another_path(trained, tmp_path, no_graphs):
    cfg, reward = trained
    other = tmp_path / 'other.pth'
    other.write_bytes(Path(reward.checkpoint).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmnasfpn.search.shared_weights.SharedWeights.needs_process', False)
        for number, path in enumerate((reward.checkpoint, other), 1):
            cfg.reward.checkpoint = str(path)
            assert search(cfg, tmp_path / 'w', number, sampler='random')['completed'] == number


def test_a_supernet_has_no_drop_block():
    cfg = load_config(str(REPO / 'configs/nasfpn/retinanet_r18-w16_nasfpn-3x64-dropblock_7e_shapes.py'))
    assert any('DropBlock' in hook['type'] for hook in cfg.custom_hooks)
    changed = supernet_config(cfg, SPACE, {})
    assert 'dropblock_cfg' not in changed.model.neck
    assert not any('DropBlock' in hook['type'] for hook in changed.custom_hooks)
    with pytest.raises(ValueError, match='takes no dropblock_cfg'):
        MODELS.build(dict(changed.model.neck, dropblock_cfg=dict(keep_prob=0.9, block_size=3)))
