"""Cut an anytime detector to the plain detector of one of its exits."""
import copy
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from mmnasfpn._files import write_text
from mmnasfpn.analysis.complexity import Complexity, count_complexity
from mmnasfpn.checkpoints.atomic import save_checkpoint
from mmnasfpn.checkpoints.fit import load_weights, state_dict_of
from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.converters.errors import ConversionError
from mmnasfpn.models.detectors import AnytimeDetector, is_of_an_exit
from mmnasfpn.models.detectors.exits import split_name
from mmnasfpn.registry import class_of


def slim_checkpoint(cfg: Config, checkpoint: str | os.PathLike[str], exit_stack: int,
                    out: str | os.PathLike[str], config_out: str | os.PathLike[str] | None = None,
                    trust_checkpoint: bool = False) -> str:
    """Cut a checkpoint file to the plain detector of an exit; write nothing unless all of it is right.

    Args:
        cfg (Config): The config that it was trained with.
        checkpoint (str | PathLike): The checkpoint to cut.
        exit_stack (int): One of its exits.
        out (str | PathLike): Where to write the checkpoint; must not exist. It holds the weights and the
            data set's classes, not the state of the training.
        config_out (str | PathLike | None): Where to write the plain detector's config; must not exist.
        trust_checkpoint (bool): Read the checkpoint in full, whatever it makes Python run. Defaults to
            False: weights only.

    Returns:
        str: A message that says what was written.

    Raises:
        ConversionError, CheckpointError: If there is no such exit, or the checkpoint does not fit.
        FileExistsError: If ``out`` or ``config_out`` exists.
    """
    _check_outputs(out, config_out)
    plain_cfg = slim_config(cfg, exit_stack)
    loaded = load_checkpoint(checkpoint, trust=trust_checkpoint)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    state_dict = state_dict_of(loaded)
    load_weights(MODELS.build(cfg.model), state_dict)
    plain = MODELS.build(plain_cfg.model)
    plain.load_state_dict(slim_state_dict(state_dict, exit_stack))
    meta = loaded.get('meta', {})
    kept = {key: meta[key] for key in ('dataset_meta', 'epoch', 'iter') if key in meta}
    if config_out is not None:
        write_text(Path(config_out), plain_cfg.pretty_text)
    save_checkpoint(dict(meta=kept, state_dict=plain.state_dict()), out)
    parameters = sum(p.numel() for p in plain.parameters())
    return (f'{out}: {parameters / 1e6:.2f} M parameters, the plain detector of exit {exit_stack}: for '
            f'the config with model.neck.stack_times={exit_stack}')


def slim_config(cfg: Config, exit_stack: int) -> Config:
    """Return the config of the plain detector that an exit is; the config given is not changed.

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
    model = cfg.get('model', {})
    if not issubclass(class_of(MODELS, model, cfg), AnytimeDetector):
        raise ConversionError(f"the model of the config is a {model.get('type')}, but must be a "
                              "mmnasfpn.AnytimeDetector (type='mmnasfpn.AnytimeDetector')")
    return list(model.get('exits') or range(1, model.neck.stack_times + 1))


def count_exits(cfg: Config, image_size: tuple[int, int]) -> dict[int, Complexity]:
    """Count the plain detector that each exit is, for one image of some rows and columns."""
    return {exit_stack: count_complexity(slim_config(cfg, exit_stack), image_size)
            for exit_stack in exits_of(cfg)}


def slim_state_dict(state_dict: Mapping[str, Tensor], exit_stack: int) -> dict[str, Tensor]:
    """Return the weights of the plain detector that an exit is, out of an ``AnytimeDetector``'s."""
    slim, own = {}, {}
    for name, value in state_dict.items():
        stack = re.match(r'neck\.pyramids\.(\d+)\.', name)
        if stack and int(stack[1]) >= exit_stack:
            continue
        exit_of, plain_name = split_name(name)
        if exit_of is None:
            slim[name] = value
        elif exit_of == exit_stack:
            own[plain_name] = value
    return {**slim, **own}


def spread_head(state_dict: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Return a plain detector's weights by an ``AnytimeDetector``'s names: its head after every exit.

    Raises:
        ConversionError: If the weights are those of an ``AnytimeDetector`` already.
    """
    for name in state_dict:
        if is_of_an_exit(name):
            raise ConversionError(f'the checkpoint is of an anytime detector, for it has {name}: give '
                                  'one of the plain detector')
    spread = {name: state_dict[plain] for name in names if (plain := split_name(name)[1]) in state_dict}
    return {**state_dict, **spread}


def _check_outputs(out: str | os.PathLike[str], config_out: str | os.PathLike[str] | None) -> None:
    files = [Path(path) for path in (out, config_out) if path is not None]
    if len({path.absolute() for path in files}) < len(files):
        raise ConversionError(f'OUT and the config are both {out}: name two files')
    for path in files:
        if path.exists():
            raise FileExistsError(f'{path} exists: name another file, or remove it')
    if config_out is not None and Path(config_out).suffix != '.py':
        raise ConversionError(f'the config to write is {config_out}, but must end in .py')
