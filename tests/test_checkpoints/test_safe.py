"""Checkpoints are read weights only: payloads, damage, and what MMEngine itself writes."""
import pickle
import subprocess
import sys
import threading
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader

from mmnasfpn.checkpoints.safe import CheckpointError, load_checkpoint, trust_checkpoints


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def make_file(path):
    """Leave a trace: what payloads call."""
    Path(path).write_text('run')


def by_mmengine(path):
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')


READERS = [load_checkpoint, by_mmengine]


def payloads(trace):
    return {
        'a function of its own': Calls(make_file, str(trace)),
        'exec': Calls(exec, f'open({str(trace)!r}, "w").close()'),
        "getattr of a function's own": Calls(getattr, make_file, '__globals__'),
        'getattr of a private name': Calls(getattr, HistoryBuffer, '__init__'),
        'getattr of another class': Calls(getattr, Path, 'write_text'),
        'a method called': Calls(HistoryBuffer.mean, Calls(make_file, str(trace))),
        'a class of its own': Calls(Calls, make_file, str(trace)),
        'objects in an array': np.array([Calls(make_file, str(trace))], dtype=object),
    }


@pytest.mark.parametrize('read', READERS)
@pytest.mark.parametrize('payload', payloads('x'))
@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_a_payload_is_refused_and_not_run(read, payload, zipped, tmp_path):
    path, trace = tmp_path / 'bad.pth', tmp_path / 'trace'
    torch.save(dict(state_dict=dict(w=torch.ones(2)), meta=payloads(trace)[payload]), path,
               _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r'bad\.pth.*more than weights.*--trust-checkpoint'):
        read(path)
    assert not trace.exists()


@pytest.mark.parametrize('read', READERS)
def test_a_trusted_checkpoint_is_read_in_full(read, tmp_path):
    path, trace = tmp_path / 'mine.pth', tmp_path / 'trace'
    torch.save(dict(state_dict={}, meta=dict(x=Calls(make_file, str(trace)))), path)
    with trust_checkpoints(False), pytest.raises(CheckpointError):
        read(path)
    with trust_checkpoints():
        assert set(read(path)) == {'state_dict', 'meta'}
    assert trace.exists() and set(load_checkpoint(path, trust=True)) == {'state_dict', 'meta'}
    with pytest.raises(CheckpointError):
        read(path)


@pytest.mark.parametrize('read', READERS)
def test_damage_is_named(read, tmp_path):
    path = tmp_path / 'cut.pth'
    torch.save(dict(state_dict=dict(w=torch.ones(1000))), path)
    whole = path.read_bytes()
    for content in (whole[:len(whole) // 2], whole[:10], b'', b'<html>not found</html>',
                    b'PK\3\4' + b'\0' * 99, pickle.dumps('text')[:3]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r'cut\.pth is not a complete PyTorch .*again'):
            read(path)


def test_other_mistakes_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r'no file .*none\.pth'):
        load_checkpoint(tmp_path / 'none.pth')
    with pytest.raises(CheckpointError, match='cannot be read'):
        load_checkpoint(tmp_path)
    torch.save([torch.ones(1)], tmp_path / 'list.pth')
    with pytest.raises(CheckpointError, match=r'list\.pth holds a list, but .* dict'):
        load_checkpoint(tmp_path / 'list.pth')


@pytest.mark.parametrize('read', READERS)
def test_what_mmengine_saves_is_read(read, tmp_path):
    buffer = HistoryBuffer(max_length=10)
    for value in (3.0, 1.0, np.float64(2.0)):
        buffer.update(value)
    kinds = [np.float32(1.5), np.float64(1.5), np.int64(3), np.bool_(True), np.array([1, 2]),
             np.array([1.5], np.float32), np.str_('bolt'), np.array(['bolt', 'nut']), np.array([])]
    saved = dict(
        state_dict=OrderedDict(w=torch.ones(2), p=torch.nn.Parameter(torch.zeros(1))),
        message_hub=dict(log_scalars=OrderedDict({'train/loss': buffer}),
                         runtime_info=dict(kinds=kinds)),
        param_schedulers=[dict(milestones=Counter([3, 4]))],
        meta=dict(epoch=1, dataset_meta=ConfigDict(classes=('bolt',), more=ConfigDict(a=1))))
    path = tmp_path / 'epoch_1.pth'
    torch.save(saved, path)
    loaded = read(path)
    hub = loaded['message_hub']
    assert hub['log_scalars']['train/loss'].statistics('mean') == 2.0
    assert hub['log_scalars']['train/loss'].statistics('max') == 3.0
    assert all(np.array_equal(a, b) and type(a) is type(b)
               for a, b in zip(hub['runtime_info']['kinds'], kinds, strict=True))
    assert loaded['param_schedulers'] == saved['param_schedulers']
    assert torch.equal(loaded['state_dict']['w'], torch.ones(2))
    assert loaded['meta'] == saved['meta']


def test_what_numpy_1_saved_is_read(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save(dict(x=np.array([1.0, 2.0])), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b'numpy._core.multiarray' in content or b'numpy.core.multiarray' in content
    path.write_bytes(content.replace(b'numpy._core.multiarray', b'numpy.core.multiarray'))
    assert load_checkpoint(path)['x'].tolist() == [1.0, 2.0]


def test_a_config_in_a_checkpoint_is_not_handed_to_what_runs_it(tmp_path):
    path = tmp_path / 'with_config.pth'
    saved = dict(state_dict={}, meta=dict(cfg='x = 1', config='x = 1', epoch=3),
                 message_hub=dict(runtime_info=dict(cfg='x = 1', iter=2)))
    torch.save(saved, path)
    assert by_mmengine(path) == dict(state_dict={}, meta=dict(epoch=3),
                                     message_hub=dict(runtime_info=dict(iter=2)))
    with trust_checkpoints():
        assert by_mmengine(path) == saved


def test_reading_a_checkpoint_changes_no_statistics_of_others(tmp_path, monkeypatch):
    path = tmp_path / 'x.pth'
    before = dict(HistoryBuffer._statistics_methods)
    state = HistoryBuffer().__getstate__() | dict(statistics_methods={'mean': HistoryBuffer.max})
    monkeypatch.setattr(HistoryBuffer, '__getstate__', lambda self: state)
    torch.save(dict(x=HistoryBuffer()), path)
    load_checkpoint(path)
    assert before == HistoryBuffer._statistics_methods


def test_other_threads_read_as_they_ask_to_and_nothing_is_left_allowed(tmp_path):
    mine, other = tmp_path / 'mine.pth', tmp_path / 'other.pth'
    torch.save(dict(w=torch.ones(9)), mine)
    torch.save(dict(x=Calls(Counter, 'ab'), y=Calls(len, 'ab')), other)
    allowed = set(torch.serialization.get_safe_globals())
    stop = threading.Event()
    errors = []

    def read_others():
        while not stop.is_set():
            try:
                assert torch.load(other, weights_only=False)['y'] == 2
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=read_others)
    thread.start()
    for _ in range(50):
        load_checkpoint(mine)
        by_mmengine(mine)
    stop.set()
    thread.join()
    assert not errors
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_what_others_allow_is_left_to_them_and_torch_load_is_as_before(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(dict(c=Calls(Counter)), path)
    load = torch.load
    with torch.serialization.safe_globals([make_file]):
        allowed = set(torch.serialization.get_safe_globals())
        load_checkpoint(path)
        assert set(torch.serialization.get_safe_globals()) == allowed
    assert torch.load is load


@pytest.mark.parametrize('order', [('mmnasfpn', 'mmengine.runner'), ('mmengine.runner', 'mmnasfpn')])
def test_mmengine_is_guarded_once_the_package_is_imported(order):
    code = (f'import {order[0]}, {order[1]}; from mmengine.runner import CheckpointLoader; '
            'import mmnasfpn.checkpoints.safe as s; '
            'assert CheckpointLoader.load_checkpoint.__func__.__code__.co_filename == s.__file__')
    subprocess.run([sys.executable, '-c', code], check=True)


def test_importing_the_package_alone_imports_no_torch():
    code = "import sys, mmnasfpn.genotypes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, '-c', code], check=True)
