"""What the README and the docstrings show works."""
import doctest
import re

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

import mmnasfpn.genotypes.genotype
import mmnasfpn.genotypes.zoo
import mmnasfpn.models.backbones.amoebanet
import mmnasfpn.models.necks.fpn
import mmnasfpn.models.necks.nasfpn
from mmnasfpn.genotypes import Genotype, get_genotype
from mmnasfpn.models.necks import NASFPN
from tests.conftest import REPO

README = (REPO / 'README.md').read_text()
PYTHON = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
CONFIGS = [block for block in PYTHON if '_base_ =' in block]


@pytest.mark.parametrize('module', [
    mmnasfpn.genotypes.genotype, mmnasfpn.genotypes.zoo, mmnasfpn.models.backbones.amoebanet,
    mmnasfpn.models.necks.fpn, mmnasfpn.models.necks.nasfpn], ids=lambda m: m.__name__)
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize('text', CONFIGS)
def test_configs_in_the_readme_build(text, tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(text)
    init_default_scope('mmdet')
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    assert isinstance(model.neck, NASFPN)
    if 'metainfo' in cfg:
        assert model.bbox_head.num_classes == len(cfg.metainfo.classes)
        assert cfg.train_dataloader.dataset.data_root == cfg.data_root


def test_the_readme_has_configs_for_each_purpose():
    assert len(CONFIGS) == 4


def test_the_neck_in_plain_python():
    block = next(block for block in PYTHON if 'p3, p4, p5, p6, p7 = neck(maps)' in block)
    names = {}
    exec(block, names)
    assert names['p3'].shape == (1, 256, 45, 61)


def test_the_genotype_in_the_readme_is_the_published_one():
    shown = re.search(r'```\n(\{"min_level".*?)```', README, re.DOTALL).group(1)
    assert Genotype.from_json(shown) == get_genotype('nasfpn')
    assert shown == get_genotype('nasfpn').to_json()
