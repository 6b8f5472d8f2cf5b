"""Check the OpenMMLab packages underneath, without importing more than MMEngine needs.

Two lines of distributions provide the modules ``mmengine``, ``mmcv`` and ``mmdet``: OneDL's,
which is maintained, and the original. They install the same folders, so that our own metadata
can require neither; what it cannot say is checked here.
"""
import runpy
import sys
import warnings
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.version import InvalidVersion, Version

#: Module: the first version that fits, the first that does not, and the distributions that
#: provide the module, the maintained one first.
REQUIREMENTS = {
    'mmengine': ('0.10.0', '1.0', ('onedl-mmengine', 'mmengine')),
    'mmcv': ('2.0.0', '3.0', ('onedl-mmcv', 'mmcv')),
    'mmdet': ('3.3.0', '4.0', ('onedl-mmdetection', 'mmdet')),
}

_HOW_TO_INSTALL = (
    'Install the tested set in this order (mmcv compiles for some minutes):\n'
    '    pip install torch "setuptools>=80" wheel packaging ninja\n'
    '    pip install --no-build-isolation onedl-mmengine onedl-mmcv onedl-mmdetection onedl-mim\n'
    'or, where the original mmengine/mmcv/mmdet are installed, stay with those: never mix the '
    'two lines in one environment.')


def check_requirements() -> None:
    """Check that ``mmengine``, ``mmcv`` and ``mmdet`` are installed in versions that fit.

    Raises:
        ImportError: If one is missing or does not fit; says what to install.

    Warns:
        UserWarning: If both lines provide the same module: the one installed last has
            overwritten files of the other.
    """
    problems = []
    for module, (lowest, below, distributions) in REQUIREMENTS.items():
        version = _version_of(module)
        if version is None:
            problems.append(f'{module} is not installed')
        elif not Version(lowest) <= version < Version(below):
            problems.append(f'{module} is {version}, but must be >={lowest},<{below}')
        both = [name for name in distributions if any(metadata.distributions(name=name))]
        if len(both) > 1:
            warnings.warn(
                f"{' and '.join(both)} both install the module {module} and overwrite each other's "
                f"files; run: pip uninstall -y {' '.join(both)}, then install one of them again",
                stacklevel=3)
    if problems:
        raise ImportError(f"mmnasfpn needs other OpenMMLab packages: {'; '.join(problems)}.\n"
                          f'{_HOW_TO_INSTALL}')


def _version_of(module: str) -> Version | None:
    try:
        if module in sys.modules:
            return Version(sys.modules[module].__version__)
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            return None
        version_file = Path(spec.origin).with_name('version.py')
        return Version(runpy.run_path(str(version_file))['__version__'])
    except (OSError, KeyError, AttributeError, InvalidVersion):
        return None
