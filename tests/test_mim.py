"""MIM and MMEngine find a regularly installed package, from any folder."""
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import DEMO_CONFIG, REPO, SMALL_OPTIONS, run_python

NAME = DEMO_CONFIG.name
SMALL = ['--cfg-options', *SMALL_OPTIONS]


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """An environment where this package is installed regularly, ahead of the editable one."""
    folder = tmp_path_factory.mktemp('installed')
    shutil.rmtree(REPO / 'build', ignore_errors=True)  # may hold files that are gone since
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps',
                    '--no-build-isolation', '--target', folder / 'site', REPO], check=True)
    return {**os.environ, 'PYTHONPATH': str(folder / 'site'), 'CUDA_VISIBLE_DEVICES': ''}


def mim(*arguments, env, cwd):
    return run_python('-m', 'mim', *arguments, env=env, cwd=cwd)


def test_mim_trains_and_tests_a_config_by_its_name_from_an_empty_folder(installed, tmp_path):
    output = mim('train', 'mmnasfpn', NAME, '--work-dir', 'w', *SMALL,
                 env=installed, cwd=tmp_path)
    assert installed['PYTHONPATH'] in output  # the installed config, not the repository's
    checkpoint = tmp_path / 'w' / 'epoch_1.pth'
    assert checkpoint.is_file()
    mim('test', 'mmnasfpn', NAME, '--checkpoint', checkpoint, '--json', 'm.json', *SMALL,
        env=installed, cwd=tmp_path)
    assert (tmp_path / 'm.json').is_file()
    mim('run', 'mmnasfpn', 'predict', NAME, checkpoint, 'data/shapes/val', '--out', 'painted', *SMALL,
        env=installed, cwd=tmp_path)
    assert len(list((tmp_path / 'painted').iterdir())) == 2


@pytest.mark.parametrize('regular', [True, False], ids=['regular', 'editable'])
def test_mim_trains_a_config_of_the_users_by_path(installed, tmp_path, regular):
    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = ['mmnasfpn::nasfpn/{NAME}']\n"
                      'model = dict(neck=dict(stack_times=1))\n')
    mim('train', 'mmnasfpn', 'mine.py', '--work-dir', 'w', *SMALL,
        env=installed if regular else {**os.environ, 'CUDA_VISIBLE_DEVICES': ''}, cwd=tmp_path)
    assert (tmp_path / 'w' / 'epoch_1.pth').is_file()


def test_mim_search_lists_the_models(installed, tmp_path):
    output = mim('search', 'mmnasfpn', '--model', 'nas-fpn', env=installed, cwd=tmp_path)
    assert output.count('config id:') == len(list(DEMO_CONFIG.parent.glob('*.py')))
    found = mim('search', 'mmnasfpn', '--condition', 'flops_in_billions>275,flops_in_billions<280',
                '--field', 'parameters_in_millions', 'flops_in_billions', env=installed, cwd=tmp_path)
    assert found.count('config id:') == 3  # that model, and its variants for test-dev and TTA
    assert found.count('59.84') == found.count('276.63') == 3


def test_tools_find_what_the_package_carries(installed, tmp_path):
    mim('run', 'mmnasfpn', 'make_shapes', 's', '--num-train', 2, '--num-val', 1, '--image-size', 128,
        env=installed, cwd=tmp_path)
    assert (tmp_path / 's/annotations/val.json').is_file()
    mim('run', 'mmnasfpn', 'draw_genotype', 'nasfpn', '--out', 'n.png', env=installed, cwd=tmp_path)
    assert (tmp_path / 'n.png').is_file()
