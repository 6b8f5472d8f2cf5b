"""Checks of arguments that several modules make."""
import itertools
from collections.abc import Mapping, Set
from numbers import Integral
from typing import Any


def check_whole_number(name: str, value: Any, least: int) -> None:
    """Raise a ValueError that names the argument unless it is an int of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f'{name} is {value!r}, but must be a whole number of at least {least}')


def check_mapping(name: str, value: Any) -> None:
    """Raise a ValueError that names the argument unless it is a dict or the like."""
    if not isinstance(value, Mapping):
        raise ValueError(f'{name} is {value!r}, but must be a dict')


def check_out_indices(out_indices: Any, last: int, what: str) -> None:
    """Raise a ValueError unless these are some of ``0..last``, in rising order, each once.

    Args:
        out_indices (Sequence[int]): Any sequence, such as a list, a range or an array of NumPy.
        last (int): The greatest that there is.
        what (str): What the numbers stand for, for the message.
    """
    try:
        indices = [] if isinstance(out_indices, str | Set | Mapping) else list(out_indices)
    except TypeError:
        indices = []
    if not indices:
        problem = 'must be a list of whole numbers, at least one'
    elif wrong := [x for x in indices if isinstance(x, bool) or not isinstance(x, Integral)]:
        problem = f'{wrong[0]!r} is no whole number'
    elif unknown := [index for index in indices if not 0 <= index <= last]:
        problem = f'{unknown[0]} is none of 0..{last}: {what}'
    elif any(b <= a for a, b in itertools.pairwise(indices)):
        problem = 'must be in rising order, each number once'
    else:
        return
    raise ValueError(f'out_indices is {out_indices!r}, but {problem}')
