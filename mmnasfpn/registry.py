"""MMEngine registries with the scope ``mmnasfpn``.

There is one for each of MMEngine's, so that a config read through ``mmnasfpn::``, which puts our
scope on all of its types, finds MMEngine's own types as well. ``locations`` are imported the
first time that something is looked up.
"""
from collections.abc import Mapping
from typing import Any

from mmengine import registry as root

_SCOPE = 'mmnasfpn'


def _child(parent: root.Registry, *locations: str) -> root.Registry:
    return root.Registry(parent.name, parent=parent, scope=_SCOPE,
                         locations=list(locations) or [_SCOPE])


# What this package adds to.
DATASETS = _child(root.DATASETS, 'mmnasfpn.datasets')
HOOKS = _child(root.HOOKS, 'mmnasfpn.engine.hooks', 'mmnasfpn.search.supernet')
MODELS = _child(root.MODELS, 'mmnasfpn.models.necks', 'mmnasfpn.models.backbones',
                'mmnasfpn.models.dense_heads', 'mmnasfpn.models.detectors', 'mmnasfpn.export')

# What it only looks up: all the others, such as TRANSFORMS.
for _name, _registry in vars(root).items():
    if isinstance(_registry, root.Registry) and _name not in globals():
        globals()[_name] = _child(_registry)


def class_of(registry: root.Registry, part: Mapping[str, Any], cfg: Mapping[str, Any]) -> type:
    """Return the class that a part of a config is built from.

    Args:
        registry (Registry): One of MMEngine's, e.g. its ``MODELS``.
        part (Mapping): The part, with its ``type``.
        cfg (Mapping): The whole config, whose ``default_scope`` counts where the part has none.

    Returns:
        type: ``object`` if there is no such type, which is for the runner to refuse.
    """
    name = part.get('type')
    if not isinstance(name, str):
        return name if isinstance(name, type) else object
    scope = part.get('_scope_') or cfg.get('default_scope')
    found = registry.get(name if '.' in name or not scope else f'{scope}.{name}')
    return found if isinstance(found, type) else object
