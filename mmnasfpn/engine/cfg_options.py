"""Settings of a config on the command line."""
import argparse
from typing import Any

from mmengine.config import DictAction


class CfgOptions(DictAction):
    """``--cfg-options`` as MMEngine reads them, but that spaces within a value stay, as paths have them.

    What is no ``key=value`` is refused with a message.
    """

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Any, option_string: str | None = None) -> None:
        """Add the options to those given before."""
        options = dict(getattr(namespace, self.dest) or {})
        for text in values:
            key, sign, value = text.partition('=')
            if not sign or not all(key.split('.')):
                raise argparse.ArgumentError(self, f'{text!r} must be key=value, as in a.b=value')
            options[key] = _parse_value(value)
        setattr(namespace, self.dest, options)


def _parse_value(text: str) -> Any:
    text = text.strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in '\'"' and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    parts = _split(text)
    if len(parts) > 1:
        return [_parse_value(part) for part in parts if part.strip()]
    inner = text[1:-1]
    if text[:1] + text[-1:] in ('[]', '()') and _is_balanced(inner):
        values = [_parse_value(part) for part in _split(inner) if part.strip()]
        return tuple(values) if text[0] == '(' else values
    return DictAction._parse_int_float_bool(text)


def _split(text: str) -> list[str]:
    """Split at the commas that are in no brackets."""
    parts, depth = [''], 0
    for character in text:
        depth += (character in '([') - (character in ')]')
        if character == ',' and depth == 0:
            parts.append('')
        else:
            parts[-1] += character
    return parts


def _is_balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in '([') - (character in ')]')
        if depth < 0:
            return False
    return depth == 0
