"""The configs of searches."""
import copy
import random

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.analysis.complexity import count_complexity
from mmnasfpn.engine.preflight import check_model
from mmnasfpn.engine.run import load_config
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search import SearchSpace
from mmnasfpn.search.proxy_task import with_genotype
from mmnasfpn.search.rewards import build_reward
from mmnasfpn.search.run import space_of
from mmnasfpn.search.samplers import make_sampler
from tests.conftest import REPO

FOLDER = REPO / 'configs/nasfpn/search'
CONFIGS = sorted(path.name for path in FOLDER.glob('*.py'))
PROXIES = [name for name in CONFIGS if name != 'match.py']
LITE = 'retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_5e_shapes.py'
LITE_SHARED = 'retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_shared-weights_shapes.py'
COCO = 'retinanet_r10_nasfpn-3x256_crop512-10e_coco.py'


@pytest.mark.parametrize('name', CONFIGS)
def test_the_space_the_reward_and_the_controller_can_be_built(name):
    cfg = load_config(str(FOLDER / name))
    space = space_of(cfg)
    build_reward(cfg, space)
    make_sampler('controller', space, 0, 0, cfg.get('controller'))


@pytest.mark.parametrize('name', PROXIES)
def test_backbone_neck_and_head_fit_every_genotype(name):
    cfg = load_config(str(FOLDER / name))
    init_default_scope('mmdet')
    for seed in range(3):
        genotype = space_of(cfg).sample(random.Random(seed))
        model = MODELS.build(with_genotype(cfg, genotype).model)
        check_model(model)
        assert model.neck.genotype == genotype


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_that_inherits_through_the_package_searches_the_same(name, tmp_path):
    (tmp_path / 'mine.py').write_text(f"_base_ = ['mmnasfpn::nasfpn/search/{name}']\n")
    one, other = load_config(str(FOLDER / name)), load_config(str(tmp_path / 'mine.py'))
    assert space_of(one) == space_of(other)
    assert type(build_reward(one, space_of(one))) is type(build_reward(other, space_of(other)))


def test_the_shapes_are_those_that_are_drawn(tmp_path):
    cfg = load_config(str(FOLDER / LITE))
    for key in ('train_dataloader', 'val_dataloader'):
        cfg[key].dataset.update(data_root=str(tmp_path / 'shapes'),
                                shapes=dict(num_train=2, num_val=2, image_size=128))
    cfg.val_evaluator.ann_file = str(tmp_path / 'shapes/annotations/val.json')
    build_reward(cfg, space_of(cfg)).check()
    assert len(list((tmp_path / 'shapes/val').iterdir())) == 2


def test_the_coco_proxy_task_is_that_of_section_4_2():
    cfg = Config.fromfile(FOLDER / COCO)
    assert cfg.model.backbone.type == 'mmnasfpn.ResNet10'
    assert (cfg.model.neck.stack_times, cfg.model.neck.out_channels) == (3, 256)
    assert space_of(cfg) == SearchSpace()
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.08, momentum=0.9, weight_decay=1e-4)
    warm_up, steps = cfg.param_scheduler
    assert (steps.milestones, steps.gamma, cfg.train_cfg.max_epochs) == ([8], 0.1, 10)
    assert cfg.train_dataloader.batch_size == 64
    assert warm_up.end == -(-110_895 // 64)  # one epoch
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        assert loader.dataset.data_prefix.img == 'train2017/'
        sizes = [step.get('scale') or step.get('crop_size') for step in loader.dataset.pipeline
                 if 'scale' in step or 'crop_size' in step]
        assert sizes and all(size == (512, 512) for size in sizes)
    train, val = (loader.dataset.ann_file for loader in (cfg.train_dataloader, cfg.val_dataloader))
    assert train == 'annotations/instances_train2017_search-train.json'
    assert cfg.val_evaluator.ann_file == cfg.data_root + val == (
        'data/coco/annotations/instances_train2017_search-val.json')


@pytest.mark.parametrize(('name', 'paper'), [
    ('retinanet-lite_mobilenetv2_nasfpnlite-3x48_320-55e_coco.py', 1.52e9),
    ('retinanet-lite_mobilenetv2_nasfpnlite-7x64_320-55e_coco.py', 1.96e9)])
def test_lite_models_with_any_genotype_of_its_space_are_near_the_papers_flops(name, paper):
    space = space_of(load_config(str(FOLDER / LITE)))
    cfg = Config.fromfile(REPO / 'configs/nasfpn' / name)
    # Levels alone decide how many FLOPs there are.
    for free in (space.levels[1], space.levels[-1]):
        levels = [[4] if len(choices) == 1 else [free] for choices in space.intermediate_levels]
        extreme = SearchSpace(3, 6, 11, levels).sample(random.Random(0))
        assert extreme in space
        changed = copy.deepcopy(cfg)
        changed.model.neck.genotype = extreme.to_dict()
        assert count_complexity(changed, (320, 320), 90).flops == pytest.approx(paper, rel=0.10)


def test_the_lite_supernet_warms_up_on_the_genotype_made_by_hand():
    path = REPO / 'docs/searches/nasfpn_lite/by_hand.json'
    cfg = load_config(str(FOLDER / LITE_SHARED))
    assert get_genotype(cfg.reward.warm_up.genotype) == get_genotype(path)


def test_the_match_looks_for_the_published_genotype():
    cfg = load_config(str(FOLDER / 'match.py'))
    assert build_reward(cfg, space_of(cfg))(get_genotype('nasfpn'), '') == 1
