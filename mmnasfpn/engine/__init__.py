"""Training and testing: checks beforehand, launching, hooks, the command line."""
from typing import Any


def __getattr__(name: str) -> Any:
    """Return a hook by its short path, without importing all hooks with this package."""
    if not name.endswith('Hook'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from mmnasfpn.engine import hooks
    return getattr(hooks, name)
