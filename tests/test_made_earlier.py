"""What users have from earlier versions goes on: ``.dev_scripts/make_old_checkpoints.py`` made it."""
import contextlib
import copy
import json
import re
import sqlite3
import tarfile
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS, init_default_scope
from mmengine.runner import load_checkpoint

import mmnasfpn  # noqa: F401
from mmnasfpn.checkpoints.fit import load_weights, state_dict_of
from mmnasfpn.checkpoints.safe import CheckpointError
from tests.conftest import REPO, run_tool_here

DATA = REPO / 'tests/data/made_earlier'
OUTPUTS = dict(np.load(DATA / 'outputs.npz'))
NAMES = sorted({key.partition('/')[0] for key in OUTPUTS})
EXITS = {name: [int(key.rpartition('/')[2]) for key in OUTPUTS if re.match(rf'{name}/\d', key)]
         for name in NAMES}  # 0 of a plain detector
ANYTIME = [name for name in NAMES if name.startswith('anytime')]


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('made_earlier')
    with tarfile.open(DATA / 'files.tar.xz') as archive:
        archive.extractall(folder, filter='data')
    return folder


@pytest.fixture(scope='module')
def configs(files):
    """The model of each config, as MMEngine wrote its text into the checkpoint."""
    init_default_scope('mmdet')
    texts = {name: torch.load(files / f'{name}.pth', weights_only=False)['meta'].get('cfg')
             or (files / f'{name}.py').read_text() for name in NAMES}
    # The name nasfpn_lite meant another genotype then.
    return {name: Config.fromstring(text.replace("'nasfpn_lite'", "'nasfpn_lite_0'"), '.py')
            for name, text in texts.items()}


def build(cfg):
    return MODELS.build(cfg.model).eval()


def load_strictly(model, path):
    load_checkpoint(model, str(path), map_location='cpu', strict=True)


def load_as_for_testing(model, path, resume=False):
    hook = HOOKS.build(dict(type='mmnasfpn.CheckpointFitHook', strict=True,
                            classes=['circle', 'square', 'triangle']))
    checkpoint = torch.load(path, weights_only=False)
    if resume:
        checkpoint['optimizer'] = {}
    hook.after_load_checkpoint(SimpleNamespace(model=model, _resume=resume), checkpoint)


def check_outputs(model, name, expected_exit, exit_stack=None):
    if exit_stack:
        model.test_cfg.exit_stack = exit_stack
    rows, columns = OUTPUTS[f'{name}/size'].astype(int)
    inputs = torch.from_numpy(np.sin(np.arange(3 * rows * columns) ** 1.1)).float()
    with torch.no_grad():
        scores, deltas = model(inputs.view(1, 3, rows, columns), mode='tensor')
    outputs = np.concatenate([maps.flatten().numpy() for maps in (*scores, *deltas)])
    np.testing.assert_allclose(outputs, OUTPUTS[f'{name}/{expected_exit}'], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', NAMES)
def test_checkpoints_of_earlier_versions_predict_the_same_at_every_exit(name, files, configs):
    model = build(configs[name])
    for load in (load_as_for_testing, load_strictly):
        for value in model.state_dict().values():
            value.zero_()
        load(model, files / f'{name}.pth')
        for exit_stack in EXITS[name]:
            check_outputs(model, name, exit_stack, exit_stack)
    # Saved optimizers know the parameters by their order.
    if name in ANYTIME and configs[name].model.get('heads', 'own_norms') == 'own_norms':
        with pytest.raises(ValueError, match='another order of the weights: give it as load_from'):
            load_as_for_testing(model, files / f'{name}.pth', resume=True)
    else:
        sums = [parameter.sum().item() for parameter in model.parameters()]
        np.testing.assert_allclose(sums, OUTPUTS[f'{name}/parameters'], atol=1e-4)


@pytest.mark.parametrize('name', ANYTIME)
def test_checkpoints_of_earlier_versions_are_cut_to_their_first_exit(name, files, configs, tmp_path,
                                                                     monkeypatch):
    exit_stack = EXITS[name][0]
    (tmp_path / 'c.py').write_text(f'default_scope = "mmdet"\nmodel = {configs[name].model.to_dict()!r}')
    run_tool_here(monkeypatch, 'slim', tmp_path / 'c.py', files / f'{name}.pth', tmp_path / 'plain.pth',
             '--exit', exit_stack)
    cfg = copy.deepcopy(configs[name])
    cfg.model.type = 'mmdet.SingleStageDetector'
    cfg.model.neck.stack_times = exit_stack
    for argument in ('exits', 'heads', 'loss_weights'):
        cfg.model.pop(argument, None)
    plain = build(cfg)
    load_strictly(plain, tmp_path / 'plain.pth')
    check_outputs(plain, name, exit_stack)


@pytest.mark.parametrize('name', [name for name in NAMES if name.endswith('lite')])
def test_what_a_name_of_a_genotype_meant_earlier_is_refused_by_its_name_now(name, files, configs):
    checkpoint = torch.load(files / f'{name}.pth', weights_only=False)
    cfg = copy.deepcopy(configs[name])
    cfg.model.neck.genotype = 'nasfpn_lite'
    with pytest.raises(CheckpointError, match="genotype 'nasfpn_lite_0', but .*'nasfpn_lite'"):
        load_weights(build(cfg), state_dict_of(checkpoint))


def test_a_search_begun_by_an_earlier_version_goes_on_with_the_same_draws(files, monkeypatch):
    # The later ones depended on how a CPU rounds float32, in which the controller computed then.
    expected = json.loads((DATA / 'search.json').read_text())[:10]
    monkeypatch.chdir(files)
    with contextlib.closing(sqlite3.connect('search/search.db')) as database:
        assert database.execute('SELECT count(*) FROM trials').fetchone() == (8,)
    run_tool_here(monkeypatch, 'search', 'search.py', '--work-dir', 'search', '--trials', len(expected),
             '--seed', 5)
    study = optuna.load_study(study_name='nasfpn-search', storage='sqlite:///search/search.db')
    assert expected == [dict(reward=trial.value, actions=list(trial.params.values()))
                        for trial in study.get_trials()]


def test_a_calibration_of_an_earlier_version_decides_the_same(files, configs, tmp_path):
    name = 'anytime-own_norms-BN'
    model = build(configs[name])
    load_strictly(model, files / f'{name}.pth')
    calibration = json.loads((DATA / 'calibration.json').read_text())
    path = tmp_path / 'calibration.json'
    calibration['machine'] = dict.fromkeys(calibration['machine'], 'unknown')
    path.write_text(json.dumps(calibration))
    with pytest.raises(ValueError, match='of another machine') as error:
        model.load_calibration(path)
    here = re.findall(r"(\w+) was 'unknown', but is '?([^';)]+)", str(error.value))
    assert [key for key, _ in here] == list(calibration['machine'])
    calibration['machine'] = {key: int(value) if value.isdigit() else value for key, value in here}
    path.write_text(json.dumps(calibration))
    model.load_calibration(path)
    [part] = calibration['inputs']
    for deadline in part['exits'].values():
        expected = max(int(stack) for stack, ms in part['exits'].items() if ms <= deadline)
        assert model.predict_within(torch.zeros(1, 3, *part['image_size']), deadline)[0] == expected
