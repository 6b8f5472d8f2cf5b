"""A batch of one image that batch normalisation cannot train on is refused before training starts."""
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmdet.models.data_preprocessors import BatchFixedSizePad
from mmdet.structures import DetDataSample
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.registry import MODELS, init_default_scope
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmnasfpn.engine.hooks import LastBatchHook
from mmnasfpn.engine.hooks import last_batch as last_batch_hook
from mmnasfpn.engine.run import load_config, train
from tests.conftest import DEMO_CONFIG


def loader(images, batch_size, kind=DefaultSampler, batch_sampler=None, **options):
    sampler = kind(range(images))
    if batch_sampler:
        return DataLoader(range(images), batch_sampler=batch_sampler(sampler, batch_size, **options))
    return DataLoader(range(images), batch_size, sampler=sampler, **options)


@pytest.mark.parametrize(('batches', 'max_iters', 'expected'), [
    (loader(9, 4), 3, True),
    (loader(9, 4), 2, False),  # ends before
    (loader(8, 4), 9, False),
    (loader(10, 4), 9, False),
    (loader(1, 4), 9, True),
    (loader(8, 1), 1, True),
    (loader(9, 4, drop_last=True), 9, False),
    (loader(9, 1, drop_last=True), 9, True),
    (loader(9, 4, InfiniteSampler), 9, False),
    (loader(9, 1, InfiniteSampler), 9, True),
    (loader(9, 4, batch_sampler=AspectRatioBatchSampler), 9, True),
    (loader(9, 4, batch_sampler=AspectRatioBatchSampler, drop_last=True), 9, False),
])
def test_a_batch_of_one_image_is_foreseen(batches, max_iters, expected):
    assert last_batch_hook._has_batch_of_one(batches, max_iters) is expected


def test_of_several_processes_each_has_a_last_batch(monkeypatch):
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (1, 2))
    assert last_batch_hook._has_batch_of_one(loader(9, 4), 9)  # 5 in each
    assert not last_batch_hook._has_batch_of_one(loader(8, 4), 9)


@pytest.fixture(scope='module')
def model():
    init_default_scope('mmdet')
    cfg = load_config(str(DEMO_CONFIG))
    cfg.merge_from_dict({'model.backbone.base_channels': 4, 'model.neck.in_channels': [4, 8, 16, 32],
                         'model.neck.stack_times': 1, 'model.neck.out_channels': 8,
                         'model.bbox_head.in_channels': 8, 'model.bbox_head.feat_channels': 8})
    return MODELS.build(cfg.model)


class Images(list):
    """A data set of noise, whose size is drawn."""

    def __init__(self, number, size):
        super().__init__(range(number))
        self.size = size

    def __getitem__(self, index):
        size = self.size - random.randrange(2) - np.random.randint(2) - int(torch.randint(2, ()))
        return dict(inputs=torch.zeros(3, size, size, dtype=torch.uint8), data_samples=DetDataSample())


def check(model, size=128, images=9, batch_size=4, **options):
    """Run the hook as before the first step, and return what it warns of."""
    warned = []
    LastBatchHook().before_train(SimpleNamespace(
        model=model, iter=0, max_iters=100, logger=SimpleNamespace(warning=warned.append),
        train_dataloader=DataLoader(Images(images, size), batch_size, **options)))
    return warned


def test_a_last_batch_that_would_crash_is_refused_before_the_first_step(tiny_config, tmp_path):
    cfg = load_config(str(tiny_config), str(tmp_path / 'w'), {
        f'{key}_dataloader.dataset.shapes.num_train': 9 for key in ('train', 'val')})
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name
    with pytest.raises(ValueError, match=r'last batch .* 1 image, of 9 images with a batch_size of 4'
                                         r'.*neck\..*another batch_size, .*drop_last=True'):
        train(cfg)
    assert 'Epoch(train)' not in next((tmp_path / 'w').glob('*/*.log')).read_text()
    init_default_scope('mmdet')
    with pytest.raises(ValueError, match='more than 1 value per channel'):  # it would have
        MODELS.build(cfg.model).train()(torch.zeros(1, 3, 128, 128), mode='tensor')


@pytest.mark.parametrize(('options', 'words'), [
    (dict(batch_size=1), 'batch_size is 1, .*set a batch_size of at least 2'),
    (dict(batch_size=10, drop_last=True), 'not a single batch.* all of the 9 images .*batch_size is 10'),
    (dict(images=1), 'give it more images')])
def test_batches_of_one_image_or_none_are_refused_with_what_to_do(model, options, words):
    with pytest.raises(ValueError, match=words):
        check(model, **options)
    assert check(model, batch_size=1, size=192) == []  # was chosen so


def test_where_maps_are_larger_a_warning_says_that_the_last_batch_is_poor(model, monkeypatch):
    [message] = check(model, size=192)
    assert '9 images with a batch_size of 4' in message and 'drop_last=True' in message
    augments = torch.nn.ModuleList([BatchFixedSizePad((192, 192))])
    monkeypatch.setattr(model.data_preprocessor, 'batch_augments', augments)
    assert len(check(model, size=128)) == 1


def test_batches_of_more_images_and_training_that_is_over_are_not_looked_at(model):
    assert check(model, batch_size=3) == []
    assert check(model, drop_last=True) == []
    LastBatchHook().before_train(SimpleNamespace(
        model=model, iter=9, max_iters=9, train_dataloader=DataLoader(Images(9, 128), 4)))


def test_frozen_norms_take_any_batch(model, monkeypatch):
    for norm in model.modules():
        if isinstance(norm, _BatchNorm):
            monkeypatch.setattr(norm, 'train', lambda mode=True, norm=norm: norm)
            monkeypatch.setattr(norm, 'training', False)
    assert check(model) == []


def test_of_a_model_of_another_form_it_is_only_said_that_there_is_such_a_batch():
    [message] = check(torch.nn.Sequential(torch.nn.BatchNorm2d(3)))
    assert '1 image' in message


def test_the_check_changes_neither_random_numbers_nor_the_model(model):
    model.backbone.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    with pytest.raises(ValueError, match='drop_last'):
        check(model)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1][1]).all() and np.random.get_state()[2] == states[1][2]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
