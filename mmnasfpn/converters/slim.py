"""Cut an anytime detector to the plain detector of one of its exits."""
import copy
import re
from collections.abc import Mapping, Sequence

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
    head = f'exit_heads.{exit_stack}.'
    replaced = any(name.startswith(head) for name in state_dict)
    slim = {}
    for name, value in state_dict.items():
        stack = re.match(r'neck\.pyramids\.(\d+)\.', name)
        if stack and int(stack.group(1)) >= exit_stack:
            continue
        if name.startswith(head):
            name = f'bbox_head.{name.removeprefix(head)}'
        elif name.startswith('exit_heads.') or (replaced and name.startswith('bbox_head.')):
            continue
        slim[name] = value
    return slim


def spread_head(state_dict: Mapping[str, Tensor], exits: Sequence[int]) -> dict[str, Tensor]:
    """Return the weights of a plain detector with its head after every exit.

    Args:
        state_dict (Mapping[str, Tensor]): Those of the plain detector.
        exits (Sequence[int]): The exits.

    Returns:
        dict[str, Tensor]: Loads strictly into an ``AnytimeDetector`` with heads for these exits.
    """
    spread = dict(state_dict)
    for name, value in state_dict.items():
        if name.startswith('bbox_head.'):
            for exit_stack in exits[:-1]:
                spread[f'exit_heads.{exit_stack}.{name.removeprefix("bbox_head.")}'] = value
    return spread
