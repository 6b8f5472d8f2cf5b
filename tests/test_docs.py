"""What the README, the pages and the docstrings show works."""
import doctest
import importlib
import re

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmnasfpn.engine.run import load_config
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.models.detectors.calibration import Calibration, InputLatencies, machine_of, model_of
from mmnasfpn.models.necks import NASFPN
from mmnasfpn.search.rewards import build_reward
from mmnasfpn.search.run import space_of
from mmnasfpn.search.samplers import make_sampler
from tests.conftest import REPO

PAGES = {str(path.relative_to(REPO)): path.read_text() for pattern in (
    'README.md', 'CONTRIBUTING.md', 'docs/*.md', 'configs/*/README.md') for path in REPO.glob(pattern)}
PYTHON = {f'{page}-{number}': block for page, text in PAGES.items()
          for number, block in enumerate(re.findall(r'```python\n(.*?)```', text, re.DOTALL))}
CONFIGS = [name for name, block in PYTHON.items() if '_base_ =' in block]
#: Marks of other blocks that need files, and have tests of their own, here or in their room.
WITH_FILES = ('init_detector(', 'DetInferencer(', 'InferenceSession(', 'ControllerSampler(',
              "type='LoadImageFromFile'", "'my_pyramid.json'", "'w/search/best.json'", 'from_yolo(',
              'from_pascal_voc(', 'from mmnasfpn.prediction')
MODULES = [str(path.relative_to(REPO))[:-3].replace('/', '.') for path in REPO.glob('mmnasfpn/**/*.py')
           if re.search(r'>>> (?!.*\+SKIP)', path.read_text())]


@pytest.mark.parametrize('module', MODULES)
def test_examples_in_docstrings(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize('name', CONFIGS)
def test_configs_that_are_shown_build(name, tmp_path):
    path = tmp_path / 'mine.py'
    (tmp_path / 'best.json').write_text(get_genotype('nasfpn').to_json())  # as a search leaves it
    path.write_text(PYTHON[name].replace("'w/best.json'", repr(str(tmp_path / 'best.json'))))
    init_default_scope('mmdet')
    cfg = load_config(path)
    model = MODELS.build(cfg.model)
    assert isinstance(model.neck, NASFPN)
    if 'metainfo' in cfg:
        assert model.bbox_head.num_classes == len(cfg.metainfo.classes)
        assert cfg.train_dataloader.dataset.data_root == cfg.data_root
        assert cfg.val_dataloader.dataset.type == 'XMLDataset' or (
            cfg.val_evaluator.ann_file == cfg.data_root + cfg.val_dataloader.dataset.ann_file)
    if '# proxy.py' in PYTHON[name]:
        build_reward(cfg, space_of(cfg))
        make_sampler('controller', space_of(cfg), 0, 0, cfg.get('controller'))


@pytest.mark.parametrize('name', [name for name, block in PYTHON.items()
                                  if block.startswith('reward = ')])
def test_rewards_that_are_shown_take_the_place_of_a_base_config_s(name, tmp_path):
    base = REPO / 'configs/nasfpn/search/retinanet_r10-w16_nasfpn-3x32_shared-weights_shapes.py'
    (tmp_path / 'mine.py').write_text(f'_base_ = {str(base)!r}\n{PYTHON[name]}')
    cfg = load_config(tmp_path / 'mine.py')
    shown = {}
    exec(PYTHON[name], shown)
    reward = build_reward(cfg, space_of(cfg))
    assert type(reward).__name__ == shown['reward']['type'] == cfg.reward.type
    if not shown['reward'].pop('_delete_', False):
        assert shown['reward']['type'] == 'SharedWeights'  # that of the base config


def test_pages_show_rewards():
    assert sum(block.startswith('reward = ') for block in PYTHON.values()) == 3


def test_pages_on_configs_show_one():
    assert {name.split('-')[0] for name in CONFIGS} == {
        'README.md', 'docs/detector.md', 'docs/data.md', 'docs/finetuning.md', 'docs/search.md',
        'docs/anytime.md'}


@pytest.mark.parametrize('name', [name for name, block in PYTHON.items() if name not in CONFIGS
                                  and not any(part in block for part in WITH_FILES)])
def test_python_that_needs_no_files_runs(name):
    exec(PYTHON[name], {})


def test_anytime_detection_in_python(tmp_path):
    block = next(block for block in PYTHON.values() if 'model.anytime(batch)' in block)
    config = re.search("config = '(.*?)'", block).group(1)
    init_default_scope('mmdet')
    model = MODELS.build(load_config(REPO / config).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'random.pth')
    Image.new('RGB', (256, 256)).save(tmp_path / 'image.jpg')
    ms = InputLatencies(1, (256, 256), {1: 10.0, 2: 20.0, 3: 30.0, 4: 39.9, 5: 50.0})
    Calibration(machine_of(torch.device('cpu')), model_of(model), (ms,)).save(tmp_path / 'latency.json')
    for name, path in ((config, REPO / config), ('w/epoch_24.pth', tmp_path / 'random.pth'),
                       ('image.jpg', tmp_path / 'image.jpg'),
                       ('latency.json', tmp_path / 'latency.json')):
        assert f"'{name}'" in block
        block = block.replace(f"'{name}'", repr(str(path)))
    exec(block, names := {})
    assert names['exit_stack'] == 4 and 'pred_instances' in names['detections']


def test_the_genotype_that_is_shown_is_the_published_one():
    shown = re.search(r'```\n(\{"min_level".*?)```', PAGES['docs/genotypes.md'], re.DOTALL).group(1)
    assert shown == get_genotype('nasfpn').to_json()


@pytest.mark.parametrize('page', PAGES)
def test_files_that_a_page_names_exist(page):
    links = re.findall(r'(?:\]\(|src=")(?!http|#)([^)"#]+)', PAGES[page])
    named = re.findall(r'(?<![\w/.])(?:tools|configs|.dev_scripts|mmnasfpn|tests)/[\w./-]+', PAGES[page])
    paths = [(REPO / page).parent / name for name in links] + [REPO / name for name in named]
    assert [path for path in paths if not path.exists() and path.name not in ('X.py', '....py')] == []


def test_every_folder_of_the_package_is_in_the_reference_and_among_the_folders():
    reference = ''.join(path.read_text() for path in REPO.glob('docs/api/*.rst'))
    for name in (path.parent.name for path in REPO.glob('mmnasfpn/*/__init__.py')):
        assert f'automodule:: mmnasfpn.{name}' in reference
        assert f'| `{name}` |' in PAGES['docs/inside.md']


def test_a_folder_imports_only_those_above_it_in_the_table_of_folders():
    folders = re.findall(r'^\| `(\w+)` \|', PAGES['docs/inside.md'], re.MULTILINE)
    for place, folder in enumerate(folders):
        for path in (REPO / 'mmnasfpn' / folder).rglob('*.py'):
            imported = re.findall(r'^ *(?:from|import) mmnasfpn\.(\w+)', path.read_text(), re.MULTILINE)
            assert not set(imported) & set(folders[place + 1:]), path
