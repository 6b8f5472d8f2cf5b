"""Checks of arguments that several modules make."""
from collections.abc import Mapping
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
    """Raise a ValueError unless these are some of ``0..last``, in order, each once."""
    numbers = range(last + 1)
    if (not isinstance(out_indices, list | tuple) or not out_indices
            or list(out_indices) != [index for index in numbers if index in out_indices]):
        raise ValueError(f'out_indices is {out_indices!r}, but must be some of 0..{last} in rising '
                         f'order: {what}')
