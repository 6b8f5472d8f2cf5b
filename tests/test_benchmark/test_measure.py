"""What the benchmark measures and shows."""
import time

import pytest
import torch
from PIL import Image

from mmnasfpn.benchmark.cases import Case, NeckSize
from mmnasfpn.benchmark.measure import Measurement, measure, peak_memory
from mmnasfpn.benchmark.report import draw, draw_sizes, sizes_to_markdown, to_markdown
from mmnasfpn.benchmark.settings import CONVOLUTIONS, FPN, MMDET, OURS

CPU = torch.device('cpu')
MEASUREMENTS = {
    Case('neck', OURS, 'eager'): Measurement([10.0, 30.0, 20.0], 6.0),
    Case('neck', CONVOLUTIONS, 'eager'): Measurement([10.0, 15.0, 16.0], 1.0),
    Case('neck', OURS, 'folded'): Measurement([8.0, 9.0, 10.0], 3.0),
    Case('neck', MMDET, 'eager'): Measurement([20.0, 20.0, 20.0], 12.0),
    Case('detector', FPN, 'eager'): Measurement([50.0, 60.0, 70.0], 9.0)}


def test_the_table_has_ratios_of_the_same_round_to_what_was_run_in_the_same_part(tmp_path):
    lines = to_markdown(MEASUREMENTS).splitlines()[2:]
    assert lines == [
        '| neck | NAS-FPN | eager | 20.0 | 25% | 1.000 | 1.000 | 1.250 | 6 | 0.500 |',  # of 1, 2, 1.25
        '| neck | convolutions alone | eager | 15.0 | 10% | 0.750 | 0.750 |  | 1 | 0.083 |',
        # MMDetection's was not run folded: its memory is that of the eager one.
        '| neck | NAS-FPN | folded | 9.0 | 6% | 0.450 |  |  | 3 | 0.250 |',
        "| neck | MMDetection's NASFPN | eager | 20.0 | 0% | 1.000 | 1.000 |  | 12 | 1.000 |",
        '| detector | FPN | eager | 60.0 | 8% |  |  |  | 9 |  |']
    draw(MEASUREMENTS, tmp_path / 'benchmark.png')
    with Image.open(tmp_path / 'benchmark.png') as picture:
        assert len(set(picture.convert('L').tobytes())) > 10


def test_the_spread_is_half_of_what_lies_between_the_quartiles():
    assert Measurement([10.0, 30.0, 20.0], 6.0).spread == pytest.approx((25 - 15) / 2 / 20)


def test_cases_take_turns():
    order = []
    found = measure({case: lambda case=case: order.append(case) for case in 'ab'}, range(3), CPU)
    assert order[-6:] == list('abbaab')
    assert {case: len(m.milliseconds) for case, m in found.items()} == dict(a=3, b=3)


def test_times_are_in_milliseconds():
    found = measure({'sleep': lambda: time.sleep(0.05)}, range(1), CPU)
    assert 50 <= found['sleep'].median < 1000


def test_the_peak_is_what_is_held_at_once():
    megabyte = 2 ** 20

    def run():
        kept = torch.empty(megabyte, dtype=torch.uint8)
        for _ in range(3):
            torch.empty(2 * megabyte, dtype=torch.uint8)  # freed at once
        return kept

    assert peak_memory(run, CPU) == pytest.approx(3 * megabyte, rel=0.01)
    assert peak_memory(lambda: None, CPU) < 1000


def test_sizes_are_compared_with_the_first_of_each_kind(tmp_path):
    found = {NeckSize('stacks', 1): Measurement([10.0, 20.0, 30.0], 4.0),
             NeckSize('stacks', 3): Measurement([20.0, 60.0, 60.0], 6.0),
             NeckSize('image size', 64): Measurement([5.0, 5.0, 5.0], 0.5)}
    lines = sizes_to_markdown(found).splitlines()
    assert lines[3] == '| stacks | 3 | 60.0 | 17% | 2.000 | 6 | 1.500 |'
    assert lines[4] == '| image size | 64 | 5.0 | 0% | 1.000 | 0 | 1.000 |'
    draw_sizes(found, tmp_path / 'growth.png')
    with Image.open(tmp_path / 'growth.png') as picture:
        assert picture.width > 300
