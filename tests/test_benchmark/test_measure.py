"""What the benchmark measures and shows."""
import time

import pytest
import torch
from PIL import Image

from mmnasfpn.benchmark.measure import (
    CONVOLUTIONS,
    FPN,
    MMDET,
    OURS,
    Contender,
    Measurement,
    compare,
    draw,
    draw_growth,
    growth_to_markdown,
    measure,
    peak_memory,
    to_markdown,
)

CPU = torch.device('cpu')
MEASUREMENTS = [
    Measurement('neck', OURS, 'eager', [10.0, 30.0, 20.0], 6.0),
    Measurement('neck', CONVOLUTIONS, 'eager', [10.0, 15.0, 16.0], 1.0),
    Measurement('neck', OURS, 'folded', [8.0, 9.0, 10.0], 3.0),
    Measurement('neck', MMDET, 'eager', [20.0, 20.0, 20.0], 12.0),
    Measurement('detector', FPN, 'eager', [50.0, 60.0, 70.0], 9.0)]


def test_ratios_are_of_the_same_round():
    ours, floor, folded, mmdet, fpn = compare(MEASUREMENTS)
    assert ours.measurement.median == 20 and ours.to_mmdet == ours.to_mmdet_same_way == 1.0
    assert ours.to_convolutions == 1.25  # of 1, 2 and 1.25
    assert ours.memory_to_mmdet == 0.5
    assert folded.to_mmdet == 0.45 and folded.to_mmdet_same_way is None
    assert folded.memory_to_mmdet == 0.25
    assert floor.to_convolutions is None and mmdet.to_mmdet == 1
    assert fpn.to_mmdet is None  # of another part


def test_the_spread_is_half_of_what_lies_between_the_quartiles():
    assert MEASUREMENTS[0].spread == pytest.approx((25 - 15) / 2 / 20)


def test_the_table_and_the_picture_hold_all(tmp_path):
    table = to_markdown(MEASUREMENTS)
    assert len(table.splitlines()) == 2 + len(MEASUREMENTS)
    assert '| neck | NAS-FPN | eager | 20.0 | 25% | 1.000 | 1.000 | 1.250 | 6 | 0.500 |' in table
    draw(MEASUREMENTS, tmp_path / 'benchmark.png')
    with Image.open(tmp_path / 'benchmark.png') as picture:
        assert len(set(picture.convert('L').tobytes())) > 10


def test_contenders_take_turns():
    order = []
    found = measure([Contender('neck', OURS, way, lambda way=way: order.append(way)) for way in 'ab'],
                    3, CPU)
    assert order[-6:] == list('abbaab')
    assert [len(m.milliseconds) for m in found] == [3, 3]


def test_times_are_in_milliseconds():
    found, = measure([Contender('neck', OURS, 'eager', lambda: time.sleep(0.05))], 1, CPU)
    assert 50 <= found.median < 1000


def test_the_peak_is_what_is_held_at_once():
    megabyte = 2 ** 20

    def run():
        kept = torch.empty(megabyte, dtype=torch.uint8)
        for _ in range(3):
            torch.empty(2 * megabyte, dtype=torch.uint8)  # let go at once
        return kept

    assert peak_memory(run, CPU) == pytest.approx(3 * megabyte, rel=0.01)
    assert peak_memory(lambda: None, CPU) < 1000


def test_growth_is_told_against_the_first_of_each_kind(tmp_path):
    measurements = [Measurement('stacks', '1', 'eager', [10.0, 20.0, 30.0], 4.0),
                    Measurement('stacks', '3', 'eager', [20.0, 60.0, 60.0], 6.0),
                    Measurement('image size', '64', 'eager', [5.0, 5.0, 5.0], 0.5)]
    lines = growth_to_markdown(measurements).splitlines()
    assert lines[3] == '| stacks | 3 | 60.0 | 17% | 2.000 | 6 | 1.500 |'
    assert lines[4] == '| image size | 64 | 5.0 | 0% | 1.000 | 0 | 1.000 |'
    draw_growth(measurements, tmp_path / 'growth.png')
    with Image.open(tmp_path / 'growth.png') as picture:
        assert picture.width > 300
