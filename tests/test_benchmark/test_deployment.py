"""Detectors timed in what runs them."""
import json

import pytest
from PIL import Image

from mmnasfpn.benchmark.deployment import Deployment, DeploymentCost, deployments_to_markdown
from mmnasfpn.benchmark.settings import RUNTIMES
from tests.conftest import run_tool_here, write_tiny_config


def test_the_table_has_a_line_for_each_runtime_and_shares_of_pytorchs_time():
    found = {
        Deployment('a', 'eager', 1): DeploymentCost([10.0, 30.0, 20.0], 100.4, 1.26),
        Deployment('a', 'onnx', 1): DeploymentCost([5.0], None, 2.0),
        Deployment('a', 'eager', 2): DeploymentCost([10.0], 101.6, 1.26),
        Deployment('a', 'onnx', 2): DeploymentCost([4.0], None, 2.0),
        Deployment('a', 'openvino-throughput', 2): DeploymentCost([3.0], 7.0, 2.0)}
    assert deployments_to_markdown(found).splitlines() == [
        '| model | runtime | ms, 1 thread | ms, 2 threads | / eager, 1 thread | / eager, 2 threads '
        '| file, MiB | memory, MiB |',
        '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
        '| a | PyTorch | 20.0 | 10.0 | 1.00 | 1.00 | 1.3 | 102 |',
        '| a | ONNX Runtime | 5.0 | 4.0 | 0.25 | 0.40 | 2.0 |  |',
        '| a | OpenVINO, throughput |  | 3.0 |  | 0.30 | 2.0 | 7 |']


def test_each_runs_in_a_process_of_its_own(tmp_path, monkeypatch, capsys):
    config, runtimes = write_tiny_config(tmp_path), ('eager', 'openvino-int8-throughput')
    run_tool_here(monkeypatch, 'benchmark_runtimes', f'tiny one={config}', '--image-size', 128, 128,
                  '--threads', 1, '--rounds', 2, '--runtimes', *runtimes, '--json', tmp_path / 'r.json',
                  '--picture', tmp_path / 'r.png')
    assert '| tiny one | OpenVINO, int8, throughput |' in capsys.readouterr().out
    measured = json.loads((tmp_path / 'r.json').read_text())['measurements']
    assert [(m['model'], m['runtime'], m['threads']) for m in measured] == [
        ('tiny one', runtime, 1) for runtime in runtimes]
    for m in measured:
        assert len(m['milliseconds']) == 2 and min(m['milliseconds']) > 0
        assert m['file_mib'] > 0.05 and m['memory_mib'] > 1
    with Image.open(tmp_path / 'r.png') as picture:
        assert len(set(picture.convert('L').tobytes())) > 10


def test_two_configs_of_one_name_are_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_tool_here(monkeypatch, 'benchmark_runtimes', 'a/one.py', 'one=b.py')
    assert 'give one another, as in NAME=CONFIG' in capsys.readouterr().err


def test_the_papers_fast_models_are_put_beside_what_was_measured(tmp_path, monkeypatch, capsys):
    names = ('NAS-FPNLite 3 @ 48', 'NAS-FPNLite 7 @ 64', 'FPNLite @ 64', 'FPNLite @ 128', 'SSDLite')
    measured = [dict(model=name, runtime=runtime, threads=threads,
                     milliseconds=[10.0 * threads * number])
                for runtime in RUNTIMES for threads in (1, 2) for number, name in enumerate(names, 1)
                if 'throughput' not in runtime or threads == 2]
    (tmp_path / 'r.json').write_text(json.dumps(dict(machine='a processor', measurements=measured)))
    run_tool_here(monkeypatch, 'compare_mobile', tmp_path / 'r.json', '--picture', tmp_path / 'p.png')
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith('| NAS-FPNLite 3 @ 48 | 24.2 | 210.0 (1.05) | 10.0 (0.20) |')
    assert lines[6].startswith('| SSDLite | 22.1 | 200.0 (1.00) | 50.0 (1.00) |')
    assert lines[0].count('|') == 10  # without the throughput, which is not of one thread
    with Image.open(tmp_path / 'p.png') as picture:
        assert len(set(picture.convert('L').tobytes())) > 10
