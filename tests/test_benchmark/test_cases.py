"""The benchmark's contenders: what they are, and that each runs."""
import json

import pytest
import torch
from mmengine.config import Config

from mmnasfpn.benchmark.cases import Setting, contenders, growth, parse_way, ways_of
from mmnasfpn.benchmark.measure import CONVOLUTIONS, FPN, MMDET, OURS
from tests.conftest import REPO, run_python

CONFIG = REPO / 'configs/nasfpn/retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'
CPU = torch.device('cpu')


def config(**neck):
    cfg = Config.fromfile(CONFIG)
    cfg.model.neck.update(stack_times=1, **neck)
    return cfg


@pytest.mark.parametrize('mode', ['infer', 'train'])
@pytest.mark.parametrize('part', ['neck', 'detector'])
def test_each_runs_in_each_way(part, mode):
    ways = [*ways_of(mode, CPU), 'bf16']
    found = list(contenders(config(), Setting((128, 128), 2, mode, CPU), [part], ways))
    assert [(c.model, c.way) for c in found if c.model in (MMDET, FPN)] == [
        (model, way) for model in (MMDET, FPN) for way in ways if 'recomputed' not in way]
    assert [c.way for c in found if c.model == OURS] == ways
    assert [c.way for c in found if c.model == CONVOLUTIONS] == [
        way for way in ways if 'recomputed' not in way and way != 'onnx']
    for contender in found:
        contender.run()


def test_all_ways_compute_the_same():
    ways = ['eager', 'channels_last', 'folded', 'folded+channels_last', 'bf16', 'onnx']
    setting = Setting((128, 128), 1, 'infer', CPU)
    maps = {c.way: c.run() for c in contenders(config(), setting, ['neck'], ways) if c.model == OURS}
    for way, found in maps.items():
        tolerance = 0.05 if way == 'bf16' else 1e-4
        for x, y in zip(map(torch.as_tensor, found), maps['eager'], strict=True):
            assert (x - y).norm() <= tolerance * y.norm()
    assert maps['folded+channels_last'][0].is_contiguous(memory_format=torch.channels_last)


def test_the_convolutions_alone_are_those_of_the_neck():
    setting = Setting((128, 128), 2, 'train', CPU)
    neck, floor, *_ = contenders(config(), setting, ['neck'], ['eager'])
    assert (neck.model, floor.model) == (OURS, CONVOLUTIONS)

    def calls(run):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            run()
        counts = {event.key: event.count for event in profiler.key_averages()}
        return {key: counts.get(key, 0) for key in (
            'aten::convolution', 'aten::convolution_backward', 'aten::native_batch_norm')}

    assert calls(neck.run)['aten::native_batch_norm'] == 10
    assert calls(floor.run) == calls(neck.run) | {'aten::native_batch_norm': 0}
    assert calls(floor.run)['aten::convolution_backward'] == 10  # 3 laterals and 7 cells


@pytest.mark.parametrize('neck', [dict(genotype='pafpn'), dict(separable=True)])
def test_mmdetections_neck_is_left_out_where_it_has_no_such_shape(neck):
    found = contenders(config(**neck), Setting((128, 128), 1, 'infer', CPU), ['neck'], ['eager'])
    assert [c.model for c in found] == [OURS, CONVOLUTIONS, FPN]


def test_or_cannot_take_the_image():
    found = contenders(config(), Setting((96, 160), 1, 'infer', CPU), ['neck'], ['eager'])
    assert MMDET not in [c.model for c in found]


@pytest.mark.parametrize(('way', 'mode', 'words'), [
    ('fast', 'infer', "no 'fast'"), ('folded+', 'infer', "no ''"), ('folded', 'train', '--mode train'),
    ('recomputed', 'infer', '--mode infer'), ('eager+bf16', 'infer', "no 'eager'"),
    ('onnx', 'train', '--mode train'), ('onnx+bf16', 'infer', 'on its own')])
def test_a_way_that_is_none_is_refused(way, mode, words):
    with pytest.raises(ValueError, match=words):
        parse_way(way, mode)


def test_onnx_runtime_is_for_the_cpu():
    assert 'onnx' in ways_of('infer', CPU)
    assert 'onnx' not in (*ways_of('train', CPU), *ways_of('infer', torch.device('cuda')))
    setting = Setting((128, 128), 1, 'infer', torch.device('cuda'))
    with pytest.raises(ValueError, match='--device cuda'):
        list(contenders(config(), setting, ['neck'], ['onnx']))


def test_only_the_models_asked_for_are_timed():
    setting = Setting((128, 128), 1, 'infer', CPU)
    for models, expected in (([CONVOLUTIONS], [(CONVOLUTIONS, 'eager')]),
                             ([OURS], [(OURS, 'eager'), (OURS, 'onnx')])):
        found = contenders(config(), setting, ['neck'], ['eager', 'onnx'], models)
        assert [(c.model, c.way) for c in found] == expected


def test_growth_changes_one_size_at_a_time():
    found = list(growth(config(), Setting((128, 128), 1, 'infer', CPU), 'eager', [1, 2], [16], [64]))
    assert [(c.part, c.model) for c in found] == [
        ('stacks', '1'), ('stacks', '2'), ('feature dimension', '16'), ('image size', '64')]
    sizes = [tuple(c.run()[0].shape) for c in found]
    assert sizes == [(1, 64, 16, 16), (1, 64, 16, 16), (1, 16, 16, 16), (1, 64, 8, 8)]


def test_another_neck_is_refused():
    cfg = config()
    cfg.model.neck.type = 'FPN'
    with pytest.raises(ValueError, match='no mmnasfpn.NASFPN'):
        list(contenders(cfg, Setting((128, 128), 1, 'infer', CPU), ['neck'], ['eager']))


def test_the_tool_writes_table_json_and_picture(tmp_path, tool_env):
    page = tmp_path / 'page.md'
    marks = [f'<!-- {end} of the benchmark of inference -->' for end in ('begin', 'end')]
    page.write_text('\n'.join(marks))
    output = run_python(
               'tools/benchmark.py', CONFIG, '--image-size', 128, 128, '--parts', 'neck', '--rounds', 2,
               '--ways', 'eager', '--cfg-options', 'model.neck.stack_times=1', '--device', 'cpu',
               '--json', tmp_path / 'b.json', '--markdown', page, '--picture', tmp_path / 'b.png',
               env=tool_env)
    assert 'USDT' not in output  # of PyTorch's profiler
    written = json.loads((tmp_path / 'b.json').read_text())
    assert [m['model'] for m in written['measurements']] == [OURS, CONVOLUTIONS, MMDET, FPN]
    assert written['machine']['threads'] and len(written['measurements'][0]['milliseconds']) == 2
    assert page.read_text().count('| neck |') == 4 and (tmp_path / 'b.png').is_file()


def test_the_tool_for_growth_writes_table_json_and_picture(tmp_path, tool_env):
    page = tmp_path / 'page.md'
    page.write_text('\n'.join(f'<!-- {end} of the growth in training -->' for end in ('begin', 'end')))
    run_python('tools/benchmark_stacks.py', CONFIG, '--mode', 'train', '--stacks', 1, 2, '--channels',
               16, '--image-sizes', 64, '--image-size', 64, '--batch-size', 2, '--rounds', 2,
               '--device', 'cpu', '--json', tmp_path / 'b.json', '--markdown', page,
               '--picture', tmp_path / 'b.png', env=tool_env)
    written = json.loads((tmp_path / 'b.json').read_text())
    assert [m['model'] for m in written['measurements']] == ['1', '2', '16', '64']
    assert page.read_text().count('| stacks |') == 2 and (tmp_path / 'b.png').is_file()
