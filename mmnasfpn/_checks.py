"""Checks of arguments that several modules make."""
from typing import Any


def check_whole_number(name: str, value: Any, least: int) -> None:
    """Raise a ValueError that names the argument unless it is an int of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f'{name} is {value!r}, but must be a whole number of at least {least}')
