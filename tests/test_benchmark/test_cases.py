"""What the benchmark plans to time, and that each case runs."""
import json

import pytest
import torch
from mmengine.config import Config

from mmnasfpn.benchmark.build import build, build_size
from mmnasfpn.benchmark.cases import Case, Setting, check, default_ways, plan, plan_sizes, switches_of
from mmnasfpn.benchmark.settings import CONVOLUTIONS, FPN, MMDET, OURS
from mmnasfpn.models.necks import NASFPN
from mmnasfpn.registry import MODELS
from tests.conftest import REPO, run_python

CONFIG = REPO / 'configs/nasfpn/retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'
CPU = torch.device('cpu')
SETTING = Setting((128, 128), 1, 'infer', CPU)


def config(**neck):
    cfg = Config.fromfile(CONFIG)
    cfg.model.neck.update(stack_times=1, **neck)
    return cfg


def models_of(cases):
    return [case.model for case in cases]


def test_cases_are_planned_part_by_part_for_the_models_asked_for():
    cases = plan(config(), SETTING, ['neck', 'detector'], ['eager', 'bf16'])
    assert [(case.model, case.way) for case in cases if case.part == 'neck'] == [
        (OURS, 'eager'), (CONVOLUTIONS, 'eager'), (OURS, 'bf16'), (CONVOLUTIONS, 'bf16'),
        (MMDET, 'eager'), (MMDET, 'bf16'), (FPN, 'eager'), (FPN, 'bf16')]
    assert [case.part for case in cases] == 8 * ['neck'] + 8 * ['detector']
    assert plan(config(), SETTING, ['neck'], ['eager', 'onnx'], [CONVOLUTIONS, FPN]) == [
        Case('neck', CONVOLUTIONS, 'eager'), Case('neck', FPN, 'eager'), Case('neck', FPN, 'onnx')]


@pytest.mark.parametrize(('way', 'mode', 'models'), [
    ('recomputed', 'train', [OURS]), ('compiled', 'infer', [OURS, MMDET, FPN]),
    ('onnx', 'infer', [OURS, MMDET, FPN]), ('folded', 'infer', [OURS, CONVOLUTIONS, MMDET, FPN])])
def test_a_model_is_left_out_where_it_has_no_such_switch(way, mode, models):
    assert models_of(plan(config(), Setting((128, 128), 1, mode, CPU), ['neck'], [way])) == models


@pytest.mark.parametrize('mode', ['infer', 'train'])
@pytest.mark.parametrize('part', ['neck', 'detector'])
def test_each_case_runs(part, mode):
    cfg, setting = config(), Setting((128, 128), 2, mode, CPU)
    cases = plan(cfg, setting, [part], [*default_ways(mode, CPU), 'bf16'])
    assert {*models_of(cases)} == {OURS, CONVOLUTIONS, MMDET, FPN}
    for case in cases:
        build(case, cfg, setting)()


def test_all_ways_compute_the_same():
    ways = ['eager', 'channels_last', 'folded', 'folded+channels_last', 'bf16', 'onnx']
    maps = {way: build(Case('neck', OURS, way), config(), SETTING)() for way in ways}
    for way, found in maps.items():
        tolerance = 0.05 if way == 'bf16' else 1e-4
        for x, y in zip(map(torch.as_tensor, found), maps['eager'], strict=True):
            assert (x - y).norm() <= tolerance * y.norm()
    assert maps['folded+channels_last'][0].is_contiguous(memory_format=torch.channels_last)


def test_the_convolutions_alone_are_those_of_the_neck():
    def calls(model):
        run = build(Case('neck', model, 'eager'), config(), Setting((128, 128), 2, 'train', CPU))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            run()
        counts = {event.key: event.count for event in profiler.key_averages()}
        return {key: counts.get(key, 0) for key in (
            'aten::convolution', 'aten::convolution_backward', 'aten::native_batch_norm')}

    ours, convolutions = calls(OURS), calls(CONVOLUTIONS)
    assert ours['aten::native_batch_norm'] == 10
    assert convolutions == ours | {'aten::native_batch_norm': 0}
    assert convolutions['aten::convolution_backward'] == 10  # 3 laterals and 7 cells


@pytest.mark.parametrize(('neck', 'size'), [
    (dict(genotype='pafpn'), (128, 128)), (dict(separable=True), (128, 128)), ({}, (96, 160))])
def test_mmdetections_neck_is_left_out_where_it_has_no_such_shape_or_cannot_take_the_image(neck, size):
    cases = plan(config(**neck), Setting(size, 1, 'infer', CPU), ['neck'], ['eager'])
    assert models_of(cases) == [OURS, CONVOLUTIONS, FPN]


@pytest.mark.parametrize(('way', 'mode', 'words'), [
    ('fast', 'infer', "no 'fast'"), ('folded+', 'infer', "no ''"), ('folded', 'train', '--mode train'),
    ('recomputed', 'infer', '--mode infer'), ('eager+bf16', 'infer', "no 'eager'"),
    ('onnx', 'train', '--mode train'), ('onnx+bf16', 'infer', 'on its own')])
def test_a_way_that_does_not_exist_is_refused(way, mode, words):
    with pytest.raises(ValueError, match=words):
        switches_of(way, mode)


def test_onnx_runtime_is_for_the_cpu():
    assert 'onnx' in default_ways('infer', CPU)
    assert 'onnx' not in (*default_ways('train', CPU), *default_ways('infer', torch.device('cuda')))
    with pytest.raises(ValueError, match='--device cuda'):
        check(config(), Setting((128, 128), 1, 'infer', torch.device('cuda')), ['onnx'])


def test_one_size_of_the_neck_changes_at_a_time():
    sizes = plan_sizes([1, 2], [16], [64])
    assert sizes == [('stacks', 1), ('stacks', 2), ('feature dimension', 16), ('image size', 64)]
    shapes = [tuple(build_size(size, config(), SETTING, 'eager')()[0].shape) for size in sizes]
    assert shapes == [(1, 64, 16, 16), (1, 64, 16, 16), (1, 16, 16, 16), (1, 64, 8, 8)]


def test_a_subclass_of_nasfpn_is_timed():
    @MODELS.register_module(force=True)
    class OwnNASFPN(NASFPN):
        pass

    cfg = config(type='mmnasfpn.OwnNASFPN')
    assert models_of(plan(cfg, SETTING, ['neck'], ['eager'])) == [OURS, CONVOLUTIONS, MMDET, FPN]
    build(Case('neck', OURS, 'folded'), cfg, SETTING)()


@pytest.mark.parametrize('neck', ['FPN', 'NASFPN', 'mmnasfpn.FPN'])
def test_another_neck_is_refused(neck):
    with pytest.raises(ValueError, match='no mmnasfpn.NASFPN'):
        plan(config(type=neck), SETTING, ['neck'], ['eager'])


@pytest.mark.parametrize(('tool', 'arguments', 'part', 'models', 'lines'), [
    ('benchmark', ['--image-size', 128, 128, '--parts', 'neck', '--ways', 'eager', '--cfg-options',
                   'model.neck.stack_times=1'],
     'benchmark of inference', [OURS, CONVOLUTIONS, MMDET, FPN], 4 * ['| neck |']),
    ('benchmark_stacks', ['--mode', 'train', '--stacks', 1, 2, '--channels', 16, '--image-sizes', 64,
                          '--image-size', 64, '--batch-size', 2],
     'growth in training', ['1', '2', '16', '64'], 2 * ['| stacks |'])])
def test_the_tools_write_table_json_and_picture(tool, arguments, part, models, lines, tmp_path,
                                                tool_env):
    page = tmp_path / 'page.md'
    page.write_text('\n'.join(f'<!-- {end} of the {part} -->' for end in ('begin', 'end')))
    output = run_python(f'tools/{tool}.py', CONFIG, *arguments, '--rounds', 2, '--device', 'cpu',
                        '--json', tmp_path / 'b.json', '--markdown', page, '--picture',
                        tmp_path / 'b.png', env=tool_env)
    assert 'USDT' not in output  # of PyTorch's profiler
    written = json.loads((tmp_path / 'b.json').read_text())
    assert written['machine']['threads'] and [m['model'] for m in written['measurements']] == models
    assert list(written['measurements'][0]) == ['part', 'model', 'way', 'milliseconds', 'peak_mib']
    assert len(written['measurements'][0]['milliseconds']) == 2
    assert page.read_text().count(lines[0]) == len(lines) and (tmp_path / 'b.png').is_file()
