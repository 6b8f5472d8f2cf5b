"""Searches that take no time, in this process or in one of their own."""
import errno
import fcntl
import time

import optuna
from mmengine.config import Config
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import tests.test_search.rewards  # noqa: F401
from mmnasfpn.engine.config import load_config
from mmnasfpn.search import results, run
from mmnasfpn.search.settings import SearchSettings
from mmnasfpn.search.template import start_template
from tests.conftest import REPO, write_tiny_config

MATCH = REPO / 'configs/nasfpn/search/match.py'
#: A controller that learns often.
OFTEN = dict(batch_size=4, hidden_size=16)


def search(config, work_dir, num_trials=None, **options):
    return run.search(config, work_dir, SearchSettings(num_trials, **options))


def match_config(**changes):
    return Config({**Config.fromfile(MATCH).to_dict(), 'controller': OFTEN, **changes})


def shared_weights_config(folder, **changes):
    """A search by shared weights in the paper's space, with a very small detector."""
    folder.mkdir(exist_ok=True)
    cfg = load_config(str(write_tiny_config(folder)))
    cfg.experiment_name = cfg.visualizer.name = folder.name
    cfg.merge_from_dict({'reward': dict(type='SharedWeights', num_batches=2),
                         'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, **changes})
    return cfg


def scripted_config(tmp_path, script=None, **options):
    """A search in a small space, of 72 written genotypes, with a reward that does as it is told."""
    return Config(dict(
        custom_imports=dict(imports=['tests.test_search.rewards']),
        search_space=dict(min_level=0, max_level=1, num_intermediate=1, ops=['sum']), controller=OFTEN,
        reward=dict(type='Scripted', folder=str(tmp_path / 'calls'), script=script, **options)))


def scripted_search(tmp_path, script, num_trials, **options):
    return search(scripted_config(tmp_path, script), tmp_path / 'w', num_trials, **options)


def trials_of(work_dir):
    storage = f'sqlite:///{work_dir}/search.db'
    if (work_dir / 'search.journal').exists():
        assert not (work_dir / 'search.db').exists()
        storage = JournalStorage(JournalFileBackend(str(work_dir / 'search.journal')))
    return optuna.load_study(storage=storage, study_name='nasfpn-search').get_trials()


def forbid_file_locks(monkeypatch, names=('flock', 'lockf')):
    """Have no file system that can lock files in one of these ways."""
    def refuse(file, operation):
        raise OSError(errno.ENOSYS, 'Function not implemented')

    for name in names:
        monkeypatch.setattr(fcntl, name, refuse)


def completed(work_dir):
    trials = [trial for trial in trials_of(work_dir) if trial.state is TrialState.COMPLETE]
    return sorted(trials, key=lambda trial: trial.datetime_complete)


def retries_of(failed, trials):
    return [trial for trial in trials if trial.user_attrs.get('retry_of') == failed.number]


def counts_of(summary):
    return tuple(summary[key] for key in ('trials', 'completed', 'failed', 'given_up'))


def start(config, work_dir, num_trials, **options):
    """Start a search in a process of its own.

    It is forked from a server that has imported what it needs, which would take longer than the search.
    """
    context = start_template([__name__, 'alembic.command'])
    process = context.Process(target=_search, args=(config.to_dict(), work_dir, num_trials, options))
    process.start()
    return process


def _search(config, work_dir, num_trials, options):
    results.draw_architectures = lambda *_: None  # as by the fixture no_graphs
    search(Config(config), work_dir, num_trials, **options)


def wait_for(path, process):
    """Wait until a process has written to a file."""
    until = time.monotonic() + 120
    while not (path.is_file() and path.read_text()):
        assert process.is_alive(), process.exitcode
        assert time.monotonic() < until
        time.sleep(0.01)


def kill(process):
    process.kill()
    process.join()
