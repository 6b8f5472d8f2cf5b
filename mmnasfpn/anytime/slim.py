"""Cut an anytime detector to the plain detector of one of its exits."""
import copy
import re
from collections.abc import Iterable, Mapping

from mmengine.config import Config, ConfigDict
from torch import Tensor

from mmnasfpn.converters.errors import ConversionError


def slim_config(cfg: Config, exit_stack: int) -> Config:
    """Return the config of the plain detector that an exit is.

    Args:
        cfg (Config): A config whose model is an ``AnytimeDetector``; left as it is.
        exit_stack (int): One of its exits.

    Returns:
        Config: The same with MMDetection's ``SingleStageDetector`` of that many stacks.

    Raises:
        ConversionError: If the model is none, or has no head after that stack.
    """
    exits = exits_of(cfg)
    if exit_stack not in exits:
        raise ConversionError(f'exit_stack is {exit_stack}, but the config has heads after these stacks '
                              f'only: {", ".join(map(str, exits))}')
    cfg = copy.deepcopy(cfg)
    model = cfg.model
    model.type = 'mmdet.SingleStageDetector'
    model.neck.stack_times = exit_stack
    for name in ('exits', 'heads', 'loss_weights'):
        model.pop(name, None)
    (model.get('test_cfg') or ConfigDict()).pop('exit_stack', None)
    return cfg


def exits_of(cfg: Config) -> list[int]:
    """Return the exits of a config.

    Raises:
        ConversionError: If its model is no ``AnytimeDetector``.
    """
    kind = cfg.get('model', {}).get('type')
    if getattr(kind, '__name__', str(kind)).rpartition('.')[2] != 'AnytimeDetector':
        raise ConversionError(f"the model of the config is a {kind}, but must be a "
                              "mmnasfpn.AnytimeDetector (type='mmnasfpn.AnytimeDetector')")
    return list(cfg.model.get('exits') or range(1, cfg.model.neck.stack_times + 1))


def slim_state_dict(state_dict: Mapping[str, Tensor], exit_stack: int) -> dict[str, Tensor]:
    """Return the weights of the plain detector that an exit is.

    Args:
        state_dict (Mapping[str, Tensor]): Those of an ``AnytimeDetector``.
        exit_stack (int): One of its exits.

    Returns:
        dict[str, Tensor]: Loads strictly into the plain detector of that many stacks.
    """
    slim, own = {}, {}
    for name, value in state_dict.items():
        stack = re.match(r'neck\.pyramids\.(\d+)\.', name)
        if stack and int(stack.group(1)) >= exit_stack:
            continue
        exit_of, plain_name = _exit_and_plain_name(name)
        if exit_of is None:
            slim[name] = value
        elif exit_of == exit_stack:
            own[plain_name] = value
    return {**slim, **own}


def spread_head(state_dict: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights of a plain detector for an ``AnytimeDetector``: its head after every exit.

    Args:
        state_dict (Mapping[str, Tensor]): Those of the plain detector of as many stacks.
        names (Iterable[str]): Names of the weights of the ``AnytimeDetector``.

    Returns:
        dict[str, Tensor]: Loads strictly into the ``AnytimeDetector``.

    Raises:
        ConversionError: If the weights are those of an ``AnytimeDetector`` already.
    """
    for name in state_dict:
        if is_of_an_exit(name):
            raise ConversionError(f'the checkpoint is of an anytime detector, for it has {name}: give '
                                  'one of the plain detector')
    spread = dict(state_dict)
    for name in names:
        _, plain_name = _exit_and_plain_name(name)
        if is_of_an_exit(name) and plain_name in state_dict:
            spread[name] = state_dict[plain_name]
    return spread


def is_of_an_exit(name: str) -> bool:
    """Tell whether a weight belongs to an exit before the last."""
    return _exit_and_plain_name(name)[0] is not None


def _exit_and_plain_name(name: str) -> tuple[int | None, str]:
    """Return the exit before the last that a weight belongs to, if any, and its plain name."""
    match = re.fullmatch(r'exit_(?:heads|norms)\.(\d+)\.(.+)', name)
    if match is None:
        return None, name
    return int(match.group(1)), f'bbox_head.{match.group(2).replace("/", ".")}'
