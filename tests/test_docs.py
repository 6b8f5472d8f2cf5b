"""What the README and the docstrings show works."""
import doctest
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

import mmnasfpn.genotypes.architecture
import mmnasfpn.genotypes.genotype
import mmnasfpn.genotypes.zoo
import mmnasfpn.models.backbones.amoebanet
import mmnasfpn.models.necks.fpn
import mmnasfpn.models.necks.nasfpn
import mmnasfpn.search.space
from mmnasfpn.engine.run import load_config
from mmnasfpn.genotypes import Genotype, get_genotype
from mmnasfpn.models.detectors.calibration import Calibration, InputLatencies, machine_of, model_of
from mmnasfpn.models.necks import NASFPN
from mmnasfpn.search.rewards import build_reward
from mmnasfpn.search.run import space_of
from mmnasfpn.search.samplers import make_sampler
from tests.conftest import REPO

README = (REPO / 'README.md').read_text()
PYTHON = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
CONFIGS = [block for block in PYTHON if '_base_ =' in block]


@pytest.mark.parametrize('module', [
    mmnasfpn.genotypes.genotype, mmnasfpn.genotypes.zoo, mmnasfpn.models.backbones.amoebanet,
    mmnasfpn.models.necks.fpn, mmnasfpn.models.necks.nasfpn, mmnasfpn.genotypes.architecture,
    mmnasfpn.search.space], ids=lambda m: m.__name__)
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize('text', CONFIGS)
def test_configs_in_the_readme_build(text, tmp_path):
    path = tmp_path / 'mine.py'
    (tmp_path / 'best.json').write_text(get_genotype('nasfpn').to_json())  # as a search leaves it
    path.write_text(text.replace("'w/best.json'", repr(str(tmp_path / 'best.json'))))
    init_default_scope('mmdet')
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    assert isinstance(model.neck, NASFPN)
    if 'metainfo' in cfg:
        assert model.bbox_head.num_classes == len(cfg.metainfo.classes)
        assert cfg.train_dataloader.dataset.data_root == cfg.data_root


def test_the_readme_has_configs_for_each_purpose():
    assert len(CONFIGS) == 6


def test_the_proxy_task_of_the_page_on_the_search(tmp_path):
    text = (REPO / 'docs/search.md').read_text()
    block = re.search(r'```python\n(# proxy.py\n.*?)```', text, re.DOTALL).group(1)
    (tmp_path / 'proxy.py').write_text(block)
    cfg = load_config(str(tmp_path / 'proxy.py'))
    space = space_of(cfg)
    build_reward(cfg, space)
    make_sampler('controller', space, 0, 0, cfg.get('controller'))
    assert cfg.val_evaluator.ann_file == 'data/mine/train_search-val.json'
    assert MODELS.build(cfg.model).bbox_head.num_classes == len(cfg.metainfo.classes)


def test_the_neck_in_plain_python():
    block = next(block for block in PYTHON if 'p3, p4, p5, p6, p7 = neck(maps)' in block)
    names = {}
    exec(block, names)
    assert names['p3'].shape == (1, 256, 45, 61)


def test_anytime_detection_in_python(tmp_path):
    block = next(block for block in PYTHON if 'model.anytime(batch)' in block)
    config = re.search("config = '(.*?)'", block).group(1)
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(REPO / config).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'random.pth')
    Image.new('RGB', (256, 256)).save(tmp_path / 'picture.jpg')
    Calibration(machine_of(torch.device('cpu')), model_of(model), (
        InputLatencies(1, (256, 256), {1: 10.0, 2: 20.0, 3: 30.0, 4: 39.9, 5: 50.0}),
    )).save(tmp_path / 'latency.json')
    for name, path in ((config, REPO / config), ('w/epoch_24.pth', tmp_path / 'random.pth'),
                       ('picture.jpg', tmp_path / 'picture.jpg'),
                       ('latency.json', tmp_path / 'latency.json')):
        assert f"'{name}'" in block
        block = block.replace(f"'{name}'", repr(str(path)))
    names = {}
    exec(block, names)
    assert names['exit_stack'] == 4 and 'pred_instances' in names['detections']


def test_the_genotype_in_the_readme_is_the_published_one():
    shown = re.search(r'```\n(\{"min_level".*?)```', README, re.DOTALL).group(1)
    assert Genotype.from_json(shown) == get_genotype('nasfpn')
    assert shown == get_genotype('nasfpn').to_json()
