"""Say so where a resumed training does not follow the schedule of its config."""
import copy
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from mmnasfpn.registry import HOOKS

#: Arguments of schedulers that say nothing of the schedule.
_NO_SETTINGS = ('optimizer', 'last_step', 'verbose', 'param_name')


@HOOKS.register_module()
class ResumedScheduleHook(Hook):
    """Warn, before the first step, where config and resumed checkpoint differ in the schedule.

    MMEngine loads the state of schedulers and optimizer over what the config says, so that new
    milestones or a new learning rate change nothing, and a longer training goes on with the last rate.
    """

    def __init__(self) -> None:
        self._differences: list[str] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare, while schedulers and optimizer are as the config has them."""
        if not runner._resume or not isinstance(runner.optim_wrapper, OptimWrapper):
            return
        self._differences = list(_differences_in_length(runner, checkpoint))
        for name, wrapper, schedulers in _parts(runner):
            states = _part_of(checkpoint.get('param_schedulers'), name) or []
            groups = (_part_of(checkpoint.get('optimizer'), name) or {}).get('param_groups', ())
            self._differences += [
                f'{name}: {difference}' if name else difference for difference in (
                    *_differences_in_schedulers(schedulers, states),
                    *_differences_in_optimizer(wrapper, schedulers, groups))]

    def before_train(self, runner: Runner) -> None:
        """Warn, with the state of the checkpoint in schedulers and optimizer."""
        if self._differences:
            outlooks = [f'{name}: {_outlook(runner, *part)}' if name else _outlook(runner, *part)
                        for name, *part in _parts(runner)]
            runner.logger.warning(
                'The config asks for another schedule than the checkpoint was trained with: '
                f'{"; ".join(self._differences)}. Resuming goes on with schedulers and optimizer of the '
                f'checkpoint, to the end that the config sets: {"; ".join(outlooks)}. For the '
                "schedule of the config, start a new training with the checkpoint's weights: give it as "
                'load_from (--cfg-options load_from=CHECKPOINT) instead of --resume')


def _parts(runner: Runner) -> Iterator[tuple[str | None, Any, Sequence[Any]]]:
    """Yield each optimizer with its schedulers, and its name where there are several."""
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        for name, wrapper in runner.optim_wrapper.items():
            yield name, wrapper, (runner.param_schedulers or {}).get(name, [])
    else:
        yield None, runner.optim_wrapper, runner.param_schedulers or []


def _part_of(saved: Any, name: str | None) -> Any:
    if name is None:
        return saved
    return saved.get(name) if isinstance(saved, Mapping) else None


def _differs(what: str, config: Any, checkpoint: Any) -> str:
    return f'{what} is {config} in the config, but {checkpoint} in the checkpoint'


def _differences_in_length(runner: Runner, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    records = (checkpoint.get('message_hub') or {}).get('runtime_info', {})
    for key, value in (('max_epochs', runner.max_epochs), ('max_iters', runner.max_iters)):
        if records.get(key, value) != value:
            yield _differs(key, value, records[key])
            return  # the other one follows


def _differences_in_schedulers(schedulers: Sequence[Any], states: Sequence[Any]) -> Iterator[str]:
    if len(schedulers) != len(states):
        yield _differs('the number of param_schedulers', len(schedulers), len(states))
    for index, (scheduler, state) in enumerate(zip(schedulers, states, strict=False)):
        own = scheduler.state_dict()
        if unlike := sorted(set(state) ^ set(own)):
            yield (f'param_scheduler[{index}] is a {type(scheduler).__name__} in the config, but of '
                   f'another kind in the checkpoint ({", ".join(unlike)})')
        for name in _settings(scheduler):
            if name in own and name in state and (pair := _unequal(own[name], state[name])):
                what = name
                if name == 'base_values':  # of each group of weights
                    what = f'base {scheduler.param_name}'
                    pair = next((x, y) for x, y in zip_longest(*pair) if x != y)
                yield _differs(f'param_scheduler[{index}]: {what}', *pair)


def _settings(scheduler: Any) -> list[str]:
    """Return under which names a scheduler may keep what it was built with."""
    kinds: tuple[Any, ...] = type(scheduler).__mro__[:-1]
    arguments = [name for kind in kinds for name in inspect.signature(kind.__init__).parameters]
    return ['base_values', *dict.fromkeys(name for name in arguments if name not in _NO_SETTINGS)]


def _differences_in_optimizer(wrapper: Any, schedulers: Sequence[Any],
                              groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Compare what no scheduler moves: weight decay, momentum, and the rate where none does."""
    found = {scheduler.param_name for scheduler in schedulers}
    if 'momentum' in found:
        found.add('betas')  # what Adam calls it
    for ours, theirs in zip(wrapper.optimizer.param_groups, groups, strict=False):
        for name, value in ours.items():
            if name in found or name.startswith('initial_') or name not in theirs:
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if (is_number or isinstance(value, tuple)) and (pair := _unequal(value, theirs[name])):
                found.add(name)  # of one group is enough
                yield _differs(f'{name} of the optimizer', *pair)


def _unequal(config: Any, checkpoint: Any) -> tuple[Any, Any] | None:
    config, checkpoint = _plain(config), _plain(checkpoint)
    return None if config == checkpoint else (config, checkpoint)


def _plain(value: Any) -> Any:
    if isinstance(value, Counter):  # of milestones
        return sorted(value.elements())
    if isinstance(value, Tensor):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _outlook(runner: Runner, wrapper: Any, schedulers: Sequence[Any]) -> str:
    """Say what the learning rate, the one that the log shows, will be."""
    index = -1 if wrapper.base_param_settings is not None else 0
    group = wrapper.param_groups[index]
    epochs, steps = _left(runner)
    if steps <= 0:
        return 'nothing is left to train'
    of_rate = [scheduler for scheduler in schedulers if scheduler.param_name == 'lr']
    if not of_rate:
        return f'the learning rate stays at {group["lr"]:.4g}'
    last = _last_rate(of_rate, group, index, epochs, steps)
    text = f'the learning rate is {group["lr"]:.4g} now and {last:.4g} at the end'
    if all(scheduler.end < scheduler._global_step + (epochs if scheduler.by_epoch else steps)
           for scheduler in of_rate):
        latest = max(of_rate, key=lambda x: x.end * (len(runner.train_dataloader) if x.by_epoch else 1))
        text += (f', where it stays once the schedule is over, after '
                 f'{"epoch" if latest.by_epoch else "iteration"} {latest.end}')
    return text


def _left(runner: Runner) -> tuple[int, int]:
    """Return how many epochs, as schedulers count them, and how many iterations are left."""
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        epochs = runner.max_epochs - runner.epoch
        return epochs, epochs * len(runner.train_dataloader)
    return 0, runner.max_iters - runner.iter


def _last_rate(schedulers: Sequence[Any], group: Mapping[str, Any], index: int, epochs: int,
               steps: int) -> float:
    """Play copies of the schedulers through, for one group of weights, to the last iteration."""
    optimizer = SimpleNamespace(param_groups=[dict(group)], step=SimpleNamespace(_with_counter=True),
                                _global_step=0)
    copies = [copy.copy(scheduler) for scheduler in schedulers
              if not getattr(scheduler, 'need_val_args', False)]  # those wait for metrics
    for scheduler in copies:
        scheduler.optimizer, scheduler.verbose = optimizer, False
        scheduler.base_values = [scheduler.base_values[index]]
    by_step = [scheduler for scheduler in copies if not scheduler.by_epoch]
    rate = group['lr']
    for step in range(1, steps + 1):
        rate = optimizer.param_groups[0]['lr']
        for scheduler in by_step:
            scheduler.step()
        if epochs and step % (steps // epochs) == 0:
            for scheduler in copies:
                if scheduler.by_epoch:
                    scheduler.step()
    return float(rate)
