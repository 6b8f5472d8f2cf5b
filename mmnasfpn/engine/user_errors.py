"""Which errors are the user's, and what to tell about them."""
import re
from pathlib import Path
from types import FrameType, TracebackType

import torch

import mmnasfpn

_PACKAGE = Path(mmnasfpn.__file__).resolve().parent
_MEMORY_ADVICE = ('make the batch smaller (train_dataloader.batch_size), train in mixed precision '
                  '(--amp or --dtype bf16), or recompute the neck (model.neck.with_cp=True)')
#: How Python says that a call lacks an argument or has one too many.
_WRONG_ARGUMENTS = re.compile(r'\(\) (got an unexpected keyword argument|got multiple values|missing '
                              r'\d+ required|takes \d+ positional)')


def is_users(error: BaseException, tool: str = '') -> bool:
    """Tell whether an error is the user's, or one of the machine, and not a bug.

    Args:
        error (BaseException): The error, as caught.
        tool (str): File of the tool, which counts as this package.
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


def concerns_one_process(error: BaseException) -> bool:
    """Tell whether the others may be well: of what all check alike, all have the same error."""
    error = original_of(error)
    return _is_out_of_memory(error) or (isinstance(error, OSError) and not _is_raised_by_us(error))


def _is_out_of_memory(error: BaseException) -> bool:
    return (isinstance(error, torch.OutOfMemoryError | MemoryError)
            or (isinstance(error, RuntimeError) and 'DefaultCPUAllocator' in str(error)))


def _frames(error: BaseException) -> list[FrameType]:
    """Return the frames of the error's traceback, the innermost last."""
    frames = []
    link: TracebackType | None = error.__traceback__
    while link is not None:
        frames.append(link.tb_frame)
        link = link.tb_next
    return frames


def _is_raised_by_us(error: BaseException, tool: str = '') -> bool:
    frames = _frames(error)
    file = Path(frames[-1].f_code.co_filename) if frames else Path()
    return file == Path(tool) or _PACKAGE in file.resolve().parents


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
