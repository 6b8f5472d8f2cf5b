"""Evaluators: what goes wrong with a trial is its outcome."""
import json
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmnasfpn.search import SearchSpace, ray_evaluator, template
from mmnasfpn.search import evaluators as module
from mmnasfpn.search.evaluators import InProcessEvaluator, LocalEvaluator, visible_gpus
from mmnasfpn.search.processes import kill_group
from tests.conftest import REPO
from tests.test_search.rewards import Scripted

SPACE = SearchSpace(0, 2, 1)
GENOTYPE = SPACE.sample(random.Random(0))
EXPECTED = (sum(node for cell in GENOTYPE.cells for node in cell.inputs) / 100,)
CFG = Config(dict(custom_imports=dict(imports=['tests.test_search.rewards'])))


def reward(tmp_path, script=None, **options):
    return Scripted(CFG, SPACE, tmp_path / 'calls', script, **options)


def outcomes_of(evaluator, tmp_path, number, patience=60):
    """Submit trials, as workers are free, and return their evaluations by number."""
    outcomes, waiting, running = {}, list(range(number)), 0
    until = time.monotonic() + patience
    while len(outcomes) < number:
        assert time.monotonic() < until, outcomes
        while waiting and running < evaluator.num_workers:
            trial = waiting.pop(0)
            evaluator.submit(trial, GENOTYPE, tmp_path / f'{trial}')
            running += 1
        for outcome in evaluator.wait(1):
            outcomes[outcome.number] = outcome.evaluation
            running -= 1
    return outcomes


def test_a_process_for_each_trial_and_its_output_in_the_trials_folder(tmp_path, closed):
    local = closed(LocalEvaluator(reward(tmp_path), 2))
    outcomes = outcomes_of(local, tmp_path, 3)
    assert {found.values for found in outcomes.values()} == {EXPECTED}
    processes = {path.read_text() for path in (tmp_path / 'calls').iterdir()}
    assert len(processes) == 3 and str(os.getpid()) not in processes
    assert 'a word for the log' in (tmp_path / '1/log.txt').read_text()


@pytest.mark.parametrize(('what', 'words'), [
    ('die', 'killed by SIGKILL, as the system does where memory runs out'),
    ('exit', 'ended with exit status 3'),
    ('raise', 'MemoryError: out of everything'),
    ('nan', 'the reward is nan, but must be a finite number'),
    ('infinite', 'the reward is inf'),
])
def test_what_goes_wrong_with_a_trial_is_its_reason(what, words, tmp_path, closed):
    local = closed(LocalEvaluator(reward(tmp_path, {'0': what}), 1))
    outcomes = outcomes_of(local, tmp_path, 2)
    assert outcomes[0].values is None and words in outcomes[0].reason
    assert outcomes[1].values == EXPECTED


def wait_until_gone(*processes):
    until = time.monotonic() + 20
    while any(map(is_alive, processes)):
        assert time.monotonic() < until
        time.sleep(0.05)


def start_beside_a_child(local, tmp_path):
    """Start a trial that starts another process, and return both."""
    local.submit(0, GENOTYPE, tmp_path / '0')
    child = tmp_path / 'calls/child'
    while not (child.is_file() and child.read_text()):
        assert local.wait(0.05) == []
    return int((tmp_path / 'calls/0').read_text()), int(child.read_text())


def test_a_trial_that_takes_too_long_is_killed_with_what_it_started_and_frees_its_gpu(
        tmp_path, monkeypatch, closed):
    monkeypatch.setattr(module, 'visible_gpus', lambda: ['7'])
    local = closed(LocalEvaluator(reward(tmp_path, {'0': 'sleep beside a child'}), 1, trial_timeout=30))
    processes = start_beside_a_child(local, tmp_path)
    local.trial_timeout = 0.1
    outcome, = local.wait(0.1)
    assert (outcome.number, outcome.evaluation.values, outcome.evaluation.reason) == (
        0, None, 'it took longer than the time limit of 0.1 s (--trial-timeout)')
    wait_until_gone(*processes)
    local.trial_timeout = None
    assert gpus_of(local) == [] and outcomes_of(local, tmp_path, 1)[0].values == EXPECTED


def test_closing_kills_what_runs_with_what_it_started(tmp_path):
    local = LocalEvaluator(reward(tmp_path, {'0': 'sleep beside a child'}), 1)
    processes = start_beside_a_child(local, tmp_path)
    local.close()
    wait_until_gone(*processes)


def gpus_of(local):
    return sorted(trial.gpu for trial in local._running.values())


def test_the_workers_are_spread_evenly_over_the_gpus_and_share_the_cores(tmp_path, monkeypatch, closed):
    monkeypatch.setattr(module, 'visible_gpus', lambda: ['2', '5'])
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(8)))
    local = closed(LocalEvaluator(reward(tmp_path, dict.fromkeys('01234', 'sleep')), 4))
    assert local._num_threads == 2
    for trial in range(4):
        local.submit(trial, GENOTYPE, tmp_path / f'{trial}')
        assert gpus_of(local) == sorted(['2', '5', '2', '5'][:trial + 1])
    for trial in [trial for trial in local._running.values() if trial.gpu == '2']:
        kill_group(trial.process)
    while len(local._running) > 2:
        local.wait(0.1)
    local.submit(4, GENOTYPE, tmp_path / '4')
    assert gpus_of(local) == ['2', '5', '5']


def states_of_trials(local, tmp_path, number):
    """Run trials one after another and return what they find, and how long each took to begin."""
    states = []
    for trial in range(number):
        begin = time.time()
        assert outcomes_of(local, tmp_path / f'{trial}', 1)[0].values == EXPECTED
        states.append(json.loads((tmp_path / f'{trial}/0/state.json').read_text()))
        states[-1]['seconds'] = states[-1]['time'] - begin
    return states


TELL = dict.fromkeys('01', 'tell')


def test_trials_on_a_gpu_are_copies_of_a_process_that_has_imported_all(tmp_path, monkeypatch, closed):
    monkeypatch.setattr(module, 'visible_gpus', lambda: ['7'])
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    local = closed(LocalEvaluator(reward(tmp_path, TELL), 1))
    first, second = states_of_trials(local, tmp_path, 2)
    assert second['seconds'] < 5
    assert {'mmdet.models', 'mmdet.datasets', 'torch._dynamo', 'mmnasfpn.search.proxy_task',
            'mmnasfpn.models.backbones'} <= set(second['modules'])
    assert first['parent'] == second['parent'] != os.getpid()
    assert second['threads_of_parent'] == 1  # others would not be in the copy
    # CUDA sees the GPU of the trial, whatever the reward does as it is unpickled.
    assert first['gpu_at_opening'] == second['gpu_at_opening'] == '7'
    assert os.environ['CUDA_VISIBLE_DEVICES'] == ''


def test_copies_draw_different_seeds(tmp_path, closed):
    first, second = states_of_trials(closed(LocalEvaluator(reward(tmp_path, TELL), 1)), tmp_path, 2)
    assert first['draw'] != second['draw']


def end_as_in_a_bad_fork():
    sys.exit(1)


def test_where_cuda_survives_no_fork_each_trial_imports_for_itself_and_sees_its_gpu_meanwhile(
        tmp_path, monkeypatch, closed, told):
    monkeypatch.setattr(template, '_fail_in_bad_fork', end_as_in_a_bad_fork)
    monkeypatch.setattr(module, 'visible_gpus', lambda: ['7'])
    local = closed(LocalEvaluator(reward(tmp_path, TELL), 1))
    state, = states_of_trials(local, tmp_path, 1)
    assert state['parent'] == os.getpid()
    assert state['gpu_at_import'] == state['gpu_at_opening'] == '7'
    line, = told
    assert 'CUDA does not work in processes that are forked' in line


def test_the_template_imports_what_it_can_and_starts_no_cuda(tmp_path, monkeypatch):
    for name, text in (('ends', 'raise SystemExit'), ('fails', '1 / 0'), ('works', '')):
        (tmp_path / f'{name}_in_template.py').write_text(text)
    asked_for = {}
    monkeypatch.setattr(template, '_MODULES', ())
    monkeypatch.setattr(sys, 'path', [*sys.path, str(tmp_path)])
    monkeypatch.setattr(forkserver, 'ensure_running', lambda: asked_for.update(os.environ))
    names = [f'{name}_in_template' for name in ('nothing', 'ends', 'fails', 'works')]
    template.start_template(names)
    assert 'MMNASFPN_TEMPLATE' not in os.environ
    assert asked_for['PYTORCH_NVML_BASED_CUDA_CHECK'] == '1'
    monkeypatch.setattr(sys, 'path', [])
    monkeypatch.setenv('MMNASFPN_TEMPLATE', asked_for['MMNASFPN_TEMPLATE'])
    template._import_what_is_asked_for()
    assert [name in sys.modules for name in names] == [False, False, False, True]
    assert str(tmp_path) in sys.path and 'MMNASFPN_TEMPLATE' not in os.environ


@pytest.mark.parametrize(('named', 'count', 'gpus'), [
    (None, 2, ['0', '1']), ('3,1', 2, ['3', '1']), ('GPU-8932f937', 1, ['GPU-8932f937']), ('', 0, []),
    (None, 0, [])])
def test_the_gpus_are_those_that_are_visible(named, count, gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if named is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', named)
    assert visible_gpus() == gpus


def is_alive(process):
    try:
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_workers_end_with_the_process_that_started_them(tmp_path, tool_env):
    script = tmp_path / 'script.py'
    script.write_text(f'''
import sys
sys.path.insert(0, {str(REPO)!r})
from pathlib import Path
from tests.test_search.test_evaluators import GENOTYPE, LocalEvaluator, reward
if __name__ == '__main__':
    tmp_path = Path({str(tmp_path)!r})
    evaluator = LocalEvaluator(reward(tmp_path, {{'0': 'sleep'}}), 1)
    evaluator.submit(0, GENOTYPE, tmp_path / '0')
    evaluator.wait(600)
''')
    parent = subprocess.Popen([sys.executable, script], env=tool_env, cwd=REPO)
    call = tmp_path / 'calls/0'
    until = time.monotonic() + 60
    while not (call.is_file() and call.read_text()):
        assert time.monotonic() < until and parent.poll() is None
        time.sleep(0.1)
    worker = int(call.read_text())
    assert is_alive(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until_gone(worker)


def test_a_reward_that_needs_no_process_is_evaluated_here(tmp_path):
    here = InProcessEvaluator(reward(tmp_path, {'1': 'raise'}))
    outcomes = outcomes_of(here, tmp_path, 2)
    assert outcomes[0].values == EXPECTED
    assert outcomes[1].reason == 'MemoryError: out of everything'
    assert (tmp_path / 'calls/0').read_text() == str(os.getpid())


@pytest.mark.parametrize(('workers', 'gpus', 'needs'), [
    (6, 0, {'CPU': 1}), (None, 4, {'CPU': 1, 'GPU': 1}), (4, 4, {'CPU': 1, 'GPU': 1}),
    (6, 4, {'CPU': 1, 'GPU': 0.5}), (6, 1, {'CPU': 1, 'GPU': 0.1666})])
def test_tasks_of_ray_share_the_gpus_where_there_are_more_workers(workers, gpus, needs):
    assert ray_evaluator._equal_shares(workers, gpus) == needs
