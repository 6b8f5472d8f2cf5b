"""Which errors are the user's, and what to tell about them."""
import contextlib
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import mmnasfpn
from mmnasfpn.errors import ConfigError

_PACKAGE = Path(mmnasfpn.__file__).resolve().parent
#: The maintainers' scripts, in a checkout.
_SCRIPTS = _PACKAGE.parent / '.dev_scripts'
_MEMORY_ADVICE = ('make the batch smaller (train_dataloader.batch_size), train in mixed precision '
                  '(--amp or --dtype bf16), or recompute the neck (model.neck.with_cp=True)')
#: How Python says that a call lacks an argument or has one too many.
_WRONG_ARGUMENTS = re.compile(r'\(\) (got an unexpected keyword argument|got multiple values|missing '
                              r'\d+ required|takes \d+ positional)')
#: What the methods of MMEngine's runner build: the part of the config.
_PARTS = dict(
    __init__='', from_cfg='', setup_env='env_cfg', set_randomness='randomness',
    build_log_processor='log_processor', build_logger='log_level', build_visualizer='visualizer',
    build_model='model', wrap_model='model_wrapper_cfg', register_default_hooks='default_hooks',
    register_custom_hooks='custom_hooks', build_train_loop='train_cfg', build_val_loop='val_cfg',
    build_test_loop='test_cfg', build_optim_wrapper='optim_wrapper', scale_lr='auto_scale_lr',
    _check_scheduler_cfg='param_scheduler', build_param_scheduler='param_scheduler')
#: What its loops let it build for themselves.
_PARTS_OF_LOOPS = dict(build_dataloader='dataloader', build_evaluator='evaluator')
_BUILDERS = {'mmengine', 'mmdet', 'mmcv', 'torch'}
_MAX_LENGTH = 600


def is_users(error: BaseException, tool: str = '') -> bool:
    """Tell whether an error is the user's, or one of the machine, and not a bug.

    ``tool`` is the file of the tool that caught it, which counts as this package.
    """
    error = original_of(error)
    if isinstance(error, OSError) or _is_out_of_memory(error):
        return True
    if type(error).__module__.split('.')[0] == 'mmnasfpn':  # each of our own classes says what to do
        return True
    if isinstance(error, ValueError | ImportError):
        return _is_raised_by_us(error, tool)
    return _is_of_a_registry(error)


def original_of(error: BaseException) -> BaseException:
    """Return the error that MMEngine's registry raised anew with the name of the class before it."""
    while (_is_in_registry(_frames(error)[-1:]) and type(error.__context__) is type(error)
           and error.args and str(error.args[0]).endswith(str(error.__context__))):
        error = error.__context__
    return error


def message_of(error: BaseException) -> str:
    """Return what to tell the user about an error."""
    error = original_of(error)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f'{error.filename}: {error.strerror}'
    if '\nOriginal Traceback (most recent call last)' in text:  # of a worker of a data loader
        text = re.split(rf'\n[\w.]*{type(error).__name__}: ', text)[-1].strip()
    if _is_out_of_memory(error):
        text = f"{text or 'out of memory'}: {_MEMORY_ADVICE}"
    return text or type(error).__name__


@contextlib.contextmanager
def config_errors() -> Iterator[None]:
    """Say which part of a config is to blame where MMEngine, MMDetection or PyTorch cannot build it.

    What they raise while a runner builds its parts, also those that it builds when training starts, is
    most likely the config's. Errors of this package, of the machine and of the training itself stay as
    they are, and so do those of other packages.

    Raises:
        ConfigError: From such an error.
    """
    try:
        yield
    except Exception as error:
        cause = original_of(error)
        frames = _frames(cause)
        part, class_name = _part_being_built(frames)
        if (part is None or isinstance(cause, OSError) or _is_out_of_memory(cause)
                or _package_of(frames) not in _BUILDERS or not _can_be_of_a_value(cause, part)):
            raise
        text = ' '.join(message_of(cause).split())
        if len(text) > _MAX_LENGTH:
            text = f'{text[:_MAX_LENGTH]}...'
        kind = '' if type(cause) is ValueError else type(cause).__name__
        named = ': '.join(filter(None, (part, class_name, kind, text)))
        raise ConfigError(f'the config does not work: {named} (MMNASFPN_TRACEBACK=1 shows '
                          'where)') from error


def _can_be_of_a_value(error: BaseException, part: str) -> bool:
    """Tell whether a wrong value in a config can raise such an error; a device raises RuntimeErrors."""
    return (isinstance(error, ValueError | LookupError | TypeError | AssertionError | AttributeError
                       | ArithmeticError) or (part == 'model' and type(error) is RuntimeError))


def _part_being_built(frames: list[FrameType]) -> tuple[str | None, str]:
    """Return which part of the config a runner was building, and the class of it or in it.

    The part is '' where it is not known, and None where the runner built nothing.
    """
    part, kind = None, ''
    for frame in frames:
        name = frame.f_code.co_name
        if _module_of(frame) == 'mmengine.runner.runner':
            if name in _PARTS:
                part, kind = _PARTS[name] or part or '', ''
            elif part in ('train_cfg', 'val_cfg', 'test_cfg') and name in _PARTS_OF_LOOPS:
                part, kind = part.replace('cfg', _PARTS_OF_LOOPS[name]), ''
        elif _module_of(frame) == 'mmengine.registry.build_functions':
            kind = getattr(frame.f_locals.get('obj_cls'), '__name__', kind)
    return part, kind


def _package_of(frames: list[FrameType]) -> str:
    """Return the package that raised an error, itself or by what it called of Python or NumPy."""
    packages = (_module_of(frame).partition('.')[0] for frame in reversed(frames))
    return next((package for package in packages
                 if package != 'numpy' and package not in sys.stdlib_module_names), '')


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get('__name__'))


def concerns_one_process(error: BaseException) -> bool:
    """Tell whether the others may be well: of what all check alike, all have the same error."""
    error = original_of(error)
    return _is_out_of_memory(error) or (isinstance(error, OSError) and not _is_raised_by_us(error))


def _is_out_of_memory(error: BaseException) -> bool:
    # PyTorch's own error by its name, since importing PyTorch takes seconds.
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and (
        type(error).__name__ == 'OutOfMemoryError' or 'DefaultCPUAllocator' in str(error)))


def _frames(error: BaseException) -> list[FrameType]:
    """Return the frames of the error's traceback, the innermost last."""
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _is_raised_by_us(error: BaseException, tool: str = '') -> bool:
    frames = _frames(error)
    file = Path(frames[-1].f_code.co_filename) if frames else Path()
    return file == Path(tool) or bool({_PACKAGE, _SCRIPTS} & {*file.resolve().parents})


def _is_in_registry(frames: list[FrameType]) -> bool:
    return bool(frames) and Path(frames[0].f_code.co_filename).match(
        'mmengine/registry/build_functions.py')


def _is_of_a_registry(error: BaseException) -> bool:
    """Tell whether a part of a config has an unknown type, or arguments that its class does not take."""
    frames = _frames(error)
    if isinstance(error, TypeError) and _WRONG_ARGUMENTS.search(str(error)):
        # Of the class itself, or of a base class that it hands its arguments on to.
        while frames and frames[-1].f_code.co_name in ('__init__', 'get_instance'):
            frames.pop()
    return isinstance(error, KeyError | TypeError) and _is_in_registry(frames[-1:])
