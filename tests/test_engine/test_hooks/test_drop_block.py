"""The ramp of DropBlock over a run, and over a run that is resumed."""
import pytest
from mmengine.hooks import Hook

from mmnasfpn.engine.hooks import DropBlockRampHook
from mmnasfpn.engine.run import load_config, train
from mmnasfpn.models.necks import DropBlock
from mmnasfpn.registry import HOOKS


@HOOKS.register_module()
class RecordProgress(Hook):
    """Note the progress of the layers at each iteration, after the ramp set it."""

    priority = 'LOWEST'
    seen: list[tuple[int, float]] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        layers = [m for m in runner.model.modules() if isinstance(m, DropBlock)]
        values = {layer.progress.item() for layer in layers}
        assert len(values) == 1
        self.seen.append((runner.iter, values.pop()))


def run(config, work_dir, ramp=1.0, stop_after=None, **kwargs):
    """Train 3 epochs of 3 iterations; return what the layers were set to."""
    cfg = load_config(str(config), str(work_dir))
    cfg.experiment_name = f'{work_dir.name}-{stop_after}'
    cfg.model.neck.dropblock_cfg = dict(keep_prob=0.9, block_size=3)
    cfg.custom_hooks = [dict(type='mmnasfpn.DropBlockRampHook', ramp=ramp),
                        dict(type='mmnasfpn.RecordProgress')]
    if stop_after is not None:
        cfg.custom_hooks.append(dict(type='mmnasfpn.StopAfter', epochs=stop_after))
    RecordProgress.seen = []
    train(cfg, **kwargs)
    return RecordProgress.seen


class StoppedError(Exception):
    pass


@HOOKS.register_module()
class StopAfter(Hook):
    """Interrupt the run at the start of an epoch."""

    def __init__(self, epochs):
        self.epochs = epochs

    def before_train_epoch(self, runner):
        if runner.epoch == self.epochs:
            raise StoppedError


def test_the_ramp_is_linear_and_a_resumed_run_goes_on_with_it(tiny_config, tmp_path):
    whole = run(tiny_config, tmp_path / 'whole')
    assert [progress for _, progress in whole] == pytest.approx([i / 9 for i in range(9)])
    with pytest.raises(StoppedError):
        run(tiny_config, tmp_path / 'cut', stop_after=2)
    before = list(RecordProgress.seen)
    after = run(tiny_config, tmp_path / 'cut', resume=True)
    assert [iteration for iteration, _ in after] == [6, 7, 8]
    assert before + after == whole


def test_a_shorter_ramp_ends_before_the_run(tiny_config, tmp_path):
    seen = run(tiny_config, tmp_path / 'short', ramp=0.5)
    assert [progress for _, progress in seen] == pytest.approx([min(1, i / 4.5) for i in range(9)])


def test_a_model_without_dropblock_is_refused(tiny_config, tmp_path):
    cfg = load_config(str(tiny_config), str(tmp_path / 'none'))
    cfg.experiment_name = 'none'
    cfg.custom_hooks = [dict(type='mmnasfpn.DropBlockRampHook')]
    with pytest.raises(ValueError, match='no DropBlock in the model.*dropblock_cfg'):
        train(cfg)


@pytest.mark.parametrize('ramp', [0, -1, 1.5])
def test_an_impossible_ramp_is_refused(ramp):
    with pytest.raises(ValueError, match='ramp is'):
        DropBlockRampHook(ramp)
