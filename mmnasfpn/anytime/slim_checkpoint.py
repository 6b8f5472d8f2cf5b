"""Cut checkpoints of anytime detectors: what ``tools/slim.py`` does."""
import os
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn._files import write_text
from mmnasfpn.anytime.slim import slim_config, slim_state_dict
from mmnasfpn.checkpoints.atomic import save_checkpoint
from mmnasfpn.checkpoints.fit import load_weights, state_dict_of
from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.converters.errors import ConversionError


def slim_checkpoint(cfg: Config, checkpoint: str | os.PathLike[str], exit_stack: int,
                    out: str | os.PathLike[str], config_out: str | os.PathLike[str] | None = None,
                    trust_checkpoint: bool = False) -> str:
    """Cut a checkpoint file to the plain detector of an exit; write nothing unless all of it is right.

    Args:
        cfg (Config): The config that it was trained with.
        checkpoint (str | PathLike): What to cut.
        exit_stack (int): One of its exits.
        out (str | PathLike): Where to write the checkpoint; must not exist. It holds the weights and the
            data set's classes, not the state of the training.
        config_out (str | PathLike | None): Where to write the plain detector's config; must not exist.
        trust_checkpoint (bool): Read the checkpoint in full, whatever it makes Python run. Defaults to
            False: weights only.

    Returns:
        str: What was written.

    Raises:
        ConversionError, CheckpointError: If there is no such exit, or the checkpoint does not fit.
        FileExistsError: If ``out`` or ``config_out`` exists.
    """
    files = [Path(path) for path in (out, config_out) if path is not None]
    if len({path.absolute() for path in files}) < len(files):
        raise ConversionError(f'OUT and the config are both {out}: name two files')
    for path in files:
        if path.exists():
            raise FileExistsError(f'{path} exists: name another file, or remove it')
    if config_out is not None and Path(config_out).suffix != '.py':
        raise ConversionError(f'the config to write is {config_out}, but must end in .py')
    plain_cfg = slim_config(cfg, exit_stack)
    loaded = load_checkpoint(checkpoint, trust=trust_checkpoint)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    state_dict = state_dict_of(loaded)
    load_weights(MODELS.build(cfg.model), state_dict)
    state_dict = slim_state_dict(state_dict, exit_stack)
    plain = MODELS.build(plain_cfg.model)
    plain.load_state_dict(state_dict)
    meta = loaded.get('meta', {})
    kept = {key: meta[key] for key in ('dataset_meta', 'epoch', 'iter') if key in meta}
    if config_out is not None:
        write_text(Path(config_out), plain_cfg.pretty_text)
    save_checkpoint(dict(meta=kept, state_dict=state_dict), out)
    parameters = sum(p.numel() for p in plain.parameters())
    return (f'{out}: {parameters / 1e6:.2f} M parameters, the plain detector of {exit_stack} stacks: '
            f'for the config with model.neck.stack_times={exit_stack}')
