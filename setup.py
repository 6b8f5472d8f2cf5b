"""Put configs and tools where MIM looks for them; everything else is in pyproject.toml.

OneDL's MIM takes the folder of the first file that pip recorded for a package to be the package. Pip
sorts that record, and ``mmnasfpn-<version>.dist-info/`` comes before ``mmnasfpn/``. So a copy of
``mmnasfpn/.mim`` is installed as ``_mmnasfpn_mim/.mim``, which comes before both. (A console script
would come first of all, and MIM would not find the package.)
"""
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    """Build the modules, then the copy for MIM."""

    def run(self) -> None:
        """Run it."""
        super().run()
        if not self.editable_mode:
            copy = Path(self.build_lib) / '_mmnasfpn_mim' / '.mim'
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(Path('mmnasfpn') / '.mim', copy, ignore=shutil.ignore_patterns(
                '__pycache__', 'make_env.sh', 'paper_table.py'))


setup(cmdclass=dict(build_py=BuildPy))
