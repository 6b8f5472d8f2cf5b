"""A work dir that was moved or copied resumes by what lies in it, and leaves the original alone."""
import logging
import shutil

import pytest
import torch

from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.engine.hooks import ResumeHook
from mmnasfpn.engine.hooks.resume import last_checkpoint
from tests.test_checkpoints.test_atomic import hook_of, make_runner

BEST = 'best_score_epoch_{}.pth'


def run(work_dir, epochs, score, resume=False, load_from=None, **hook):
    """Train, and save the best checkpoint if the score says so."""
    runner = make_runner(work_dir, epochs, resume=resume, save_best='score', rule='greater', **hook)
    runner.register_hook(ResumeHook())
    runner._load_from = load_from and str(load_from)
    runner.train()
    hook_of(runner)._save_best_checkpoint(runner, dict(score=score))
    return runner


def content(folder):
    return {path.name: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def names(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


@pytest.fixture
def original(tmp_path):
    """A finished work dir of two epochs, the second of them the best, under a name of its own."""
    work_dir = tmp_path / f'{tmp_path.name}-original'
    run(work_dir, 2, score=0.5, max_keep_ckpts=1)
    assert names(work_dir) == [BEST.format(2), 'epoch_2.pth']
    return work_dir


def test_a_moved_work_dir_resumes(original, tmp_path):
    moved = tmp_path / f'{tmp_path.name}-moved'
    original.rename(moved)
    runner = run(moved, 3, score=0.6, resume=True, max_keep_ckpts=1)
    assert runner._load_from == str(moved / 'epoch_2.pth')
    assert runner.iter == 3 * 2 and not original.exists()
    assert names(moved) == [BEST.format(3), 'epoch_3.pth']


def test_a_copied_work_dir_neither_reads_nor_deletes_in_the_original(original, tmp_path):
    copied = tmp_path / f'{tmp_path.name}-copied'
    shutil.copytree(original, copied)
    for path in original.glob('*.pth'):
        path.write_bytes(b'not to be read')
    before = content(original)
    runner = run(copied, 3, score=0.4, resume=True, max_keep_ckpts=1)
    assert hook_of(runner).best_ckpt_path == str(copied / BEST.format(2))  # which is still the best
    run(copied, 4, score=0.6, resume=True, max_keep_ckpts=1)
    assert names(copied) == [BEST.format(4), 'epoch_4.pth']
    assert content(original) == before


@pytest.mark.parametrize('what', ['a copy without it', 'resumed from elsewhere'])
def test_a_best_checkpoint_that_is_elsewhere_stays(what, original, tmp_path):
    other, load_from = tmp_path / f'{tmp_path.name}-other', None
    if what == 'a copy without it':
        shutil.copytree(original, other, ignore=shutil.ignore_patterns('best*'))
    else:
        other.mkdir()
        (other / BEST.format(2)).write_bytes(b'of another training')
        load_from = original / 'epoch_2.pth'
    before = content(original)
    runner = run(other, 3, score=0.4, resume=True, load_from=load_from, max_keep_ckpts=1)
    assert hook_of(runner).best_ckpt_path is None  # not so good as the one before
    run(other, 4, score=0.6, resume=True, max_keep_ckpts=1)
    assert content(original) == before
    assert BEST.format(4) in names(other)
    assert (BEST.format(2) in names(other)) == (what == 'resumed from elsewhere')


def test_checkpoints_of_an_out_dir_are_found_where_they_are_now(tmp_path):
    work_dir, out_dir = tmp_path / f'{tmp_path.name}-w', tmp_path / 'checkpoints'
    run(work_dir, 2, score=0.5, out_dir=str(out_dir))
    old = out_dir / work_dir.name
    assert (work_dir / 'last_checkpoint').read_text() == str(old / 'epoch_2.pth')
    runner = run(work_dir, 3, score=0.4, out_dir=str(out_dir), resume=True)
    assert runner._load_from == str(old / 'epoch_2.pth')
    new = tmp_path / 'copied' / work_dir.name
    shutil.copytree(old, new)
    before = content(old)
    runner = run(work_dir, 4, score=0.6, out_dir=str(new.parent), resume=True)
    assert runner._load_from == str(new / 'epoch_3.pth')
    assert names(new)[0] == BEST.format(4) and content(old) == before


def test_a_last_checkpoint_that_is_elsewhere_only_is_gone_on_from_with_a_warning(original, tmp_path):
    other = tmp_path / f'{tmp_path.name}-other'
    other.mkdir()
    shutil.copy(original / 'last_checkpoint', other)
    runner = make_runner(other, 3, resume=True)
    logged = []
    runner.logger.log = lambda *args: logged.append(args)
    ResumeHook().before_run(runner)
    assert runner._load_from == str(original / 'epoch_2.pth')
    [(level, message)] = logged
    assert level == logging.WARNING
    assert f'{original / "epoch_2.pth"}, since there is none of that name in {other}' in message


def test_the_state_of_the_original_is_not_kept(original, tmp_path):
    copied = tmp_path / f'{tmp_path.name}-copied'
    shutil.copytree(original, copied)
    run(copied, 3, score=0.4, resume=True)
    state = torch.load(copied / 'epoch_3.pth', weights_only=False)['message_hub']['runtime_info']
    assert str(original) not in str({key: state[key] for key in ('last_ckpt', 'best_ckpt')})


@pytest.mark.parametrize('named', ['/nowhere/epoch_9.pth', ''])
def test_a_last_checkpoint_that_is_nowhere_is_an_error_that_says_which_there_are(named, tmp_path):
    (tmp_path / 'last_checkpoint').write_text(named)
    with pytest.raises(CheckpointError, match=f"names '{named}', .*no checkpoints either.*delete"):
        last_checkpoint(tmp_path)
    (tmp_path / 'epoch_1.pth').touch()
    with pytest.raises(CheckpointError, match=r'neither there nor in .*epoch_1\.pth.*--resume'):
        last_checkpoint(tmp_path)


def test_without_a_last_checkpoint_training_starts_anew(tmp_path):
    assert last_checkpoint(tmp_path) is None
    work_dir = tmp_path / f'{tmp_path.name}-new'
    assert run(work_dir, 1, score=0.5, resume=True).iter == 2
