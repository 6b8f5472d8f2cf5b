#!/usr/bin/env bash
# Make .venv in the repository root: the tested set of requirements.txt, mmcv's compiled ops
# included, and this package as an editable install. Safe to repeat: a finished environment is
# recognised at once, an interrupted one goes on where it stopped.
#
# STACK=upstream      make .venv-upstream, of requirements-upstream.txt, instead
# PYTHON=python3.11   the interpreter to make .venv from
# FORCE_CUDA=1        compile mmcv's CUDA ops even where no GPU is visible; needs a CUDA torch and nvcc
# MAX_JOBS=4          processes that compile; the number of cores by default
# CXX=..., CFLAGS=... compile mmcv's ops with these, not in the fast way of .dev_scripts/mmcv-g++
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
case ${STACK:-onedl} in
    onedl) venv=.venv requirements=requirements.txt mmcv=onedl-mmcv mmengine=onedl-mmengine ;;
    upstream) venv=.venv-upstream requirements=requirements-upstream.txt mmcv=mmcv mmengine=mmengine ;;
    *) echo "make env: STACK is '$STACK', but must be onedl or upstream" >&2; exit 1 ;;
esac
stamp=$venv/.finished
cuda=${FORCE_CUDA:-0}

fail() { printf 'make env: %s\n' "$1" >&2; exit 1; }
say() { printf '[make env] %s\n' "$1"; }

command -v "$python" >/dev/null ||
    fail "there is no '$python': install Python 3.10 or newer, or name one: make env PYTHON=python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$python" --version) is too old: install Python 3.10 or newer, then make env PYTHON=python3.11"

# What the environment was made from; another Python, pin, build option or place makes it stale.
made_from=$("$python" --version; echo "$PWD cuda=$cuda"; cat $requirements pyproject.toml tools/make_env.sh .dev_scripts/mmcv-g++)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$made_from" ]; then
    exit 0
fi

command -v g++ >/dev/null ||
    fail "there is no g++, which compiles mmcv's ops: install it, e.g. apt-get install g++"
"$python" -c 'import ensurepip' 2>/dev/null ||
    fail "Python's venv module is incomplete: install it, e.g. apt-get install python3-venv"
header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
[ -f "$header" ] ||
    fail "there is no $header, which mmcv's ops need: install it, e.g. apt-get install python3-dev"

# Only the lines of the requirements for the packages named, and all but those.
pins() { grep -E "^($(IFS='|'; echo "$*"))==" $requirements | sed 's/ *#.*//'; }
pins_but() { grep -E '^[a-z]' $requirements | grep -vE "^($(IFS='|'; echo "$*"))==" | sed 's/ *#.*//'; }
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

build_tools='setuptools wheel packaging ninja'
rm -f "$stamp"
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null ||
        [ "$("$venv/bin/python" --version)" != "$("$python" --version)" ] ||
        [ "$(cat "$venv/.made-at" 2>/dev/null)" != "$PWD" ]; then  # moved: its scripts point elsewhere
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$PWD/$venv"
    printf '%s' "$PWD" >"$venv/.made-at"
fi
say 'installing build tools and torch'
pip install --quiet --upgrade pip $(pins $build_tools)
pip install --quiet $(pins torch numpy)
# mmcv compiles its CUDA ops where torch sees a GPU, asked or not.
if "$venv/bin/python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then cuda=1; fi
if [ "$cuda" = 1 ]; then
    torch_cuda=$("$venv/bin/python" -c 'import torch; print(torch.version.cuda or "")')
    [ -n "$torch_cuda" ] ||
        fail "FORCE_CUDA=1, but pip installed a torch without CUDA here: point pip to an index that has one"
    [ -n "${CUDA_HOME:-}" ] || command -v nvcc >/dev/null ||
        fail "torch is built for CUDA $torch_cuda, but there is no nvcc: install that CUDA toolkit or set CUDA_HOME; or hide the GPU, for an environment without it: CUDA_VISIBLE_DEVICES= make env"
fi

ops_fit() {
    "$venv/bin/python" - "$cuda" <<'PY' 2>/dev/null
import sys
from mmcv.ops import get_compiling_cuda_version, nms
sys.exit(sys.argv[1] == '1' and get_compiling_cuda_version() == 'not available')
PY
}
# The fast way is for C++ alone, and gives way to a compiler and flags of the user's.
build_env=() duration='about 3 minutes on 2 cores'
precompiled=$PWD/$venv/precompiled
if [ "$cuda" = 1 ]; then
    duration='longer than the 8 to 35 minutes of its C++ on 2 cores, because of CUDA'
elif [ -n "${CC:-}${CXX:-}${CFLAGS:-}${CXXFLAGS:-}${CPPFLAGS:-}" ]; then
    duration='8 to 35 minutes on 2 cores with your CC, CXX or flags'
else
    build_env=(CXX=mmcv-g++ "PATH=$PWD/.dev_scripts:$PATH" "PRECOMPILED=$precompiled")
fi
trap 'rm -rf "$precompiled"' EXIT
install_mmcv() {
    say "installing mmcv; where pip has no compiled copy this takes $duration"
    rm -rf "$precompiled"
    mkdir "$precompiled"
    # --verbose shows the compiler's progress, [12/78] and so on; the rest goes to a log.
    env "${build_env[@]}" "$venv/bin/python" -m pip --disable-pip-version-check \
        install --verbose --no-build-isolation "$@" $(pins $mmengine $mmcv torch numpy) 2>&1 |
        tee "$venv/mmcv-build.log" |
        { grep --line-buffered -oE '^ *\[([0-9]+/[0-9]+\]|make env\] .*)' || true; }
}
if ! ops_fit; then
    install_mmcv || fail "mmcv did not install: see $venv/mmcv-build.log"
    if ! ops_fit; then
        say 'the copy of mmcv that pip kept lacks fitting ops; compiling it again'
        install_mmcv --no-cache-dir --no-binary $mmcv --force-reinstall --no-deps ||
            fail "mmcv did not install: see $venv/mmcv-build.log"
        ops_fit || fail "mmcv's compiled ops do not import: see $venv/mmcv-build.log"
    fi
fi

say 'installing the rest'
pip install --quiet --no-build-isolation $(pins_but openmim)
if [ $venv = .venv-upstream ]; then
    # Its opendatalab, which fetches data sets, would take setuptools back to a version that cannot
    # install this package.
    pip install --quiet --no-deps $(pins openmim)
fi
pip install --quiet --no-build-isolation --no-deps --editable .
if [ $venv = .venv-upstream ]; then
    # openmim looks for a package in site-packages, where an editable install puts none.
    ln -sfn "$PWD/mmnasfpn" "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mmnasfpn"
fi
conflicts=$(pip check | grep -vE '^No broken|^openmim .* requires opendatalab' || true)
[ -z "$conflicts" ] || fail "packages do not fit each other: $conflicts"

"$venv/bin/python" -c 'import mmcv.ops, mmdet.models, mmnasfpn' ||
    fail 'the finished environment does not import; see above'
printf '%s' "$made_from" >"$stamp"
say "done: $venv"
