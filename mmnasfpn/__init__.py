"""NAS-FPN for MMDetection: a feature pyramid is data, a genotype of merging cells.

Importing the package checks that fitting OpenMMLab packages are there and makes it known to
MMEngine: ``mmnasfpn.NASFPN`` resolves in any registry and ``mmnasfpn::nasfpn/<config>.py`` in
any ``_base_``. From then on MMEngine reads checkpoints weights only (``mmnasfpn.checkpoints.safe``).
"""
from types import ModuleType

from mmnasfpn._after_import import after_import
from mmnasfpn._requirements import check_requirements
from mmnasfpn.version import __version__

check_requirements()

from mmengine.config.utils import MODULE2PACKAGE  # noqa: E402

MODULE2PACKAGE.setdefault('mmnasfpn', 'mmnasfpn')


def _guard_checkpoints(checkpoint_module: ModuleType) -> None:
    from mmnasfpn.checkpoints.safe import guard  # needs torch
    guard(checkpoint_module)


after_import('mmengine.runner.checkpoint', _guard_checkpoints)

__all__ = ['__version__']
