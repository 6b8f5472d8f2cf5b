"""How many operations and waits there are, and that they stay few."""
import json

import pytest
import torch

from mmnasfpn.benchmark.cases import Case, Setting
from mmnasfpn.benchmark.counts import count, count_case, to_markdown
from mmnasfpn.benchmark.settings import MMDET, OURS
from mmnasfpn.engine.config import load_config
from tests.conftest import run_tool_here

CPU = torch.device('cpu')


def test_views_and_allocations_do_not_count_and_backward_passes_do():
    x = torch.rand(2, 3).requires_grad_()
    found = count(lambda: (x.view(6).t() * torch.empty(6)).sum().backward())
    assert found.operations == dict(mul=2, sum=1, ones_like=1)
    assert (found.total, found.waits) == (4, 0)


def test_waits_are_operations_whose_result_the_processor_needs():
    x = torch.tensor([1., 0.])
    found = count(lambda: (x.sum().item(), x.nonzero(), x[x > 0], x.tolist(), x.clone()))
    assert found.waits == 4


@pytest.mark.parametrize(('mode', 'way', 'most'), [
    ('infer', 'eager', 0.87), ('infer', 'folded', 0.72), ('train', 'eager', 0.87)])
def test_the_neck_starts_fewer_operations_than_mmdetections(mode, way, most):
    """3 @ 256 on ResNet-50, 2 images of 512x512, over MMDetection's as it is."""
    cfg = load_config('retinanet_r50_nasfpn-3x256_crop640-50e_coco.py')
    setting = Setting((512, 512), 2, mode, CPU)
    ours = count_case(Case('neck', OURS, way), cfg, setting)
    theirs = count_case(Case('neck', MMDET, 'eager'), cfg, setting)
    assert theirs.total == dict(infer=165, train=404)[mode]
    assert ours.total <= most * theirs.total
    assert ours.waits == 0


def test_a_training_step_of_the_demo_starts_few_operations_and_waits_for_none():
    """With 8 images of 256x256 and ten boxes each; by MMDetection's neck and head they are 3,000."""
    cfg = load_config('retinanet_r18-w16_nasfpn-3x64_7e_shapes.py')
    setting = Setting((256, 256), 8, 'train', CPU)
    ours, theirs = (count_case(Case('detector', model, 'eager'), cfg, setting)
                    for model in (OURS, MMDET))
    assert theirs.total > 2400 and theirs.waits > 100
    assert ours.total <= 900
    assert ours.waits == 0


def test_the_table_has_the_ratio_to_mmdetections():
    neck = [Case('neck', model, way) for model in (OURS, MMDET) for way in ('eager', 'folded')]
    table = to_markdown({case: count(lambda n=n: [torch.rand(1) for _ in range(n)])
                         for case, n in zip(neck, (3, 2, 4, 1), strict=True)})
    assert [''.join(row.split()).split('|')[3:8] for row in table.splitlines()[2:]] == [
        ['eager', '3', '0.750', '0.750', '0'], ['folded', '2', '0.500', '2.000', '0'],
        ['eager', '4', '1.000', '1.000', '0'], ['folded', '1', '0.250', '1.000', '0']]


def test_the_tool_writes_table_and_json(tmp_path, monkeypatch):
    page = tmp_path / 'page.md'
    part = 'operations of training'
    page.write_text(f'<!-- begin of the {part} -->\n<!-- end of the {part} -->')
    run_tool_here(
        monkeypatch, 'benchmark', 'retinanet_r18-w16_nasfpn-3x64_7e_shapes.py', '--counts', '--mode',
        'train', '--image-size', 128, 128, '--batch-size', 2, '--ways', 'eager', '--models', 'nasfpn',
        'mmdet', '--json', tmp_path / 'c.json', '--markdown', page)
    counted = json.loads((tmp_path / 'c.json').read_text())['measurements']
    assert [(c['part'], c['model']) for c in counted] == [
        (part, model) for part in ('neck', 'detector') for model in (OURS, MMDET)]
    assert counted[0]['operations']['convolution'] == 24 and counted[0]['waits'] == 0
    assert page.read_text().count('| NAS-FPN | eager |') == 2


@pytest.mark.parametrize('way', ['compiled', 'onnx', 'channels_last+bf16'])
def test_what_is_not_run_operation_by_operation_is_not_counted(way):
    with pytest.raises(ValueError, match='counted'):
        count_case(Case('neck', OURS, way), None, Setting((64, 64), 1, 'infer', CPU))
