"""`.dev_scripts/mmcv-g++`, with which `make env` compiles mmcv, and a `g++` that notes its arguments."""
import os
import subprocess
from pathlib import Path

import pytest

WRAPPER = Path(__file__).parents[1] / '.dev_scripts/mmcv-g++'
GXX = r'''#!/bin/sh
echo "$*" >>"$0.log"
for last; do :; done
case "$*" in
    *-dM*) echo "#define __${KIND}__" ;;
    *c++-header*) [ $HEADER != bad ] && touch "$last" ;;
    *-include*) [ $HEADER = good ] ;;
esac
'''
FILE = '-MMD -MF a.d -O3 -I/mmcv -c a.cpp -o a.o -std=c++17'
TEST = '-x c++ -E -dM /dev/null'
MAKE = '-O3 -I/mmcv -std=c++17 -g0 -x c++-header all.h -o all.h.gch'
USE = f'{FILE} -g0 -Winvalid-pch -include all.h'
PLAIN = f'{FILE} -g0'


@pytest.mark.parametrize(('kind', 'header', 'calls', 'told'), [
    ('GNUC', 'good', [TEST, MAKE, USE, USE], 0),
    ('GNUC', 'bad', [TEST, MAKE, PLAIN, PLAIN], 1),
    ('GNUC', 'unfit', [TEST, MAKE, USE, PLAIN, USE, PLAIN], 0),
    ('clang', 'good', [TEST, PLAIN, PLAIN], 1)])
def test_header_is_precompiled_once_by_gcc_and_left_out_where_it_does_not_work(
        tmp_path, kind, header, calls, told):
    (tmp_path / 'g++').write_text(GXX)
    (tmp_path / 'g++').chmod(0o755)
    environment = {'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'PRECOMPILED': str(tmp_path),
                   'KIND': kind, 'HEADER': header}

    output = [subprocess.run([WRAPPER, *FILE.split()], env=environment, check=True,
                             capture_output=True, text=True).stdout for _ in range(2)]

    assert (tmp_path / 'g++.log').read_text().replace(f'{tmp_path}/', '').splitlines() == calls
    assert ''.join(output).count('[make env] the precompiled header does not work') == told
