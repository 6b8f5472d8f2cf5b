"""Build a source archive and, from it, a wheel into dist/, and check that the wheel can be released."""
import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
DIST = REPO / 'dist'
#: What works in a checkout only, as parts of paths.
REFUSED = ('tests', 'docs', '.dev_scripts', '.ci', '__pycache__', 'paper_table.py', 'make_env.sh')
#: What MIM looks for.
NEEDED = [f'{folder}/.mim/{name}' for folder in ('mmnasfpn', '_mmnasfpn_mim')
          for name in ('model-index.yml', 'tools/train.py', 'configs/nasfpn/metafile.yml')]


def run(*command: str | Path, cwd: Path = REPO, **env: str) -> str:
    """Run a command of this Python's and return what it printed; end the script if it fails."""
    result = subprocess.run([sys.executable, *command], cwd=cwd, env={**os.environ, **env}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode:
        sys.exit(f'{result.stdout}\nmake dist: failed: {" ".join(map(str, command))}')
    return result.stdout


def build() -> Path:
    """Return the wheel, built from the source archive alone."""
    for folder in (DIST, REPO / 'build'):  # may hold files that no longer exist
        shutil.rmtree(folder, ignore_errors=True)
    run('-c', f"from setuptools import build_meta; build_meta.build_sdist({str(DIST)!r})")
    archive, = DIST.glob('*.tar.gz')
    run('-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', DIST, archive)
    wheel, = DIST.glob('*.whl')
    return wheel


def faults_of(names: list[str]) -> list[str]:
    """Return what is wrong with the files of a wheel."""
    faults = [f'{name} must not be in it' for name in names if set(Path(name).parts) & set(REFUSED)]
    return faults + [f'{name} is missing' for name in NEEDED if name not in names]


def check_installed(wheel: Path) -> None:
    """Install the wheel into an empty folder, and let MIM find it from another one."""
    with tempfile.TemporaryDirectory() as folder:
        site, work = Path(folder, 'site'), Path(folder, 'work')
        work.mkdir()
        run('-m', 'pip', 'install', '--quiet', '--no-deps', '--target', site, wheel)
        mim = functools.partial(run, '-m', 'mim', cwd=work, PYTHONPATH=str(site))
        mim('run', 'mmnasfpn', 'draw_genotype', 'nasfpn', '--out', 'nasfpn.png')
        num_found = mim('search', 'mmnasfpn', '--model', 'nas-fpn').count('config id:')
        num_configs = len(list((REPO / 'configs/nasfpn').glob('*.py')))
        if not (work / 'nasfpn.png').is_file() or num_found != num_configs:
            sys.exit(f'make dist: MIM finds {num_found} of {num_configs} configs in the installed wheel')


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    wheel = build()
    names = zipfile.ZipFile(wheel).namelist()
    print('\n'.join(sorted(names)))
    version, = re.findall("__version__ = '(.+)'", (REPO / 'mmnasfpn/version.py').read_text())
    faults = faults_of(names)
    if f'version: {version}\n' not in (REPO / 'CITATION.cff').read_text():
        faults.append(f'CITATION.cff has another version than mmnasfpn/version.py, {version}')
    if faults:
        sys.exit('make dist: ' + '\n'.join([f'{wheel.name} is not fit to be released:', *faults]))
    check_installed(wheel)
    print(f'make dist: {wheel.relative_to(REPO)} has {len(names)} files, installs, and MIM finds it')


if __name__ == '__main__':
    main()
