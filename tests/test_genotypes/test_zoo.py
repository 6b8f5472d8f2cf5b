"""The named genotypes."""
import json

import pytest

from mmnasfpn.genotypes import GENOTYPES, SOURCES, GenotypeError, get_genotype
from tests.conftest import REPO


def test_nasfpn_is_the_published_table():
    genotype = get_genotype('nasfpn')
    assert [(5 + i, c.level, c.op, c.inputs, c.is_output) for i, c in enumerate(genotype.cells)] == [
        (5, 4, 'gp', (1, 3), False),
        (6, 4, 'sum', (1, 5), False),
        (7, 3, 'sum', (0, 6), True),
        (8, 4, 'sum', (6, 7), True),
        (9, 5, 'gp', (7, 8), True),
        (10, 7, 'gp', (6, 9), True),
        (11, 6, 'gp', (9, 10), True),
    ]
    assert list(genotype.levels) == [3, 4, 5, 6, 7]


def test_nasfpn_outputs_are_keyed_by_level_not_by_the_order_of_the_cells():
    assert get_genotype('nasfpn').output_nodes == {3: 7, 4: 8, 5: 9, 6: 11, 7: 10}


def test_nasfpn_adds_c5_to_p5_and_c7_to_p7():
    assert get_genotype('nasfpn').loose_ends == ((), (), (), (), (2,), (4,), ())


def test_fpn_is_the_vanilla_top_down_pyramid():
    assert [(c.level, c.inputs) for c in get_genotype('fpn').cells] == [
        (7, (4,)), (6, (3, 5)), (5, (2, 6)), (4, (1, 7)), (3, (0, 8))]
    assert all(c.is_output and c.op == 'sum' for c in get_genotype('fpn').cells)


def test_pafpn_is_the_fpn_followed_by_a_bottom_up_path():
    fpn, pafpn = get_genotype('fpn'), get_genotype('pafpn')
    assert [c.inputs for c in pafpn.cells[:5]] == [c.inputs for c in fpn.cells]
    # Each level up takes the level below just made and the top-down map of its own level.
    assert [(c.level, [pafpn.node_levels[n] for n in c.inputs]) for c in pafpn.cells[5:]] == [
        (4, [4, 3]), (5, [5, 4]), (6, [6, 5]), (7, [7, 6])]
    assert list(pafpn.output_nodes.values()) == [9, 10, 11, 12, 13]


def test_nasfpn_lite_lies_in_the_search_space_of_section_4_3():
    genotype = get_genotype('nasfpn_lite')
    intermediate, outputs = genotype.cells[:11], genotype.cells[11:]
    assert list(genotype.levels) == [3, 4, 5, 6]
    assert all(not c.is_output and c.level in (4, 5, 6) for c in intermediate)
    assert sorted(c.level for c in outputs) == [3, 4, 5, 6] and all(c.is_output for c in outputs)
    assert all(len(c.inputs) == 2 for c in genotype.cells)


@pytest.mark.parametrize('name', GENOTYPES)
def test_every_genotype_has_its_source(name):
    source = SOURCES[name]
    if not source.endswith('.json'):  # other tests here compare them with it cell by cell
        assert source == 'derived from nasfpn' or 'CVPR' in source
        return
    record = json.loads((REPO / source).read_text())
    if isinstance(record, list):  # the best of a search, without final trainings
        assert get_genotype(record[0]['genotype']) == GENOTYPES[name]
        return
    trained = {**{found: one['genotype'] for found, one in record['finalists'].items()},
               **record['others']}
    runs = {other: [run['ap'] for run in record['runs'] if run['config'] == other] for other in trained}
    assert {len(aps) for aps in runs.values()} == {5}
    best = max(runs, key=lambda other: sum(runs[other]))
    assert get_genotype(trained[best]) == GENOTYPES[name]
    assert record['command'].startswith('tools/find_pyramid.py configs/') and record['stages']


def test_the_earlier_pyramid_of_the_lite_searches_is_the_one_of_that_name():
    assert get_genotype(REPO / 'docs/searches/nasfpn_lite/earlier.json') == GENOTYPES['nasfpn_lite_0']


def test_get_genotype_takes_a_genotype_a_dict_a_name_and_a_json_file(tmp_path):
    genotype = get_genotype('nasfpn')
    path = tmp_path / 'mine.json'
    path.write_text(genotype.to_json())
    for way in (genotype, genotype.to_dict(), 'nasfpn', path, str(path)):
        assert get_genotype(way) == genotype


@pytest.mark.parametrize('what', ['nasfpm', '', 'missing.json', 'a\0.json', None, 7, [], object()])
def test_get_genotype_says_what_it_takes(what):
    with pytest.raises(GenotypeError, match='nasfpn|cannot be read'):
        get_genotype(what)


def test_get_genotype_names_the_file(tmp_path):
    path = tmp_path / 'broken.json'
    path.write_text('{"cells": []}')
    with pytest.raises(GenotypeError, match=r'broken\.json.*output of level 3'):
        get_genotype(path)
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(GenotypeError, match=r'broken\.json'):
        get_genotype(path)


def cells_by_levels(genotype):
    return [(c.level, c.op, tuple(genotype.node_levels[node] for node in c.inputs), c.is_output)
            for c in genotype.cells]


def test_six_levels_are_the_published_cells_and_p2_from_p3():
    published, six = get_genotype('nasfpn'), get_genotype('nasfpn_6_levels')
    assert cells_by_levels(six)[:7] == cells_by_levels(published)
    assert cells_by_levels(six)[7:] == [(2, 'sum', (2, 3), True)]
    assert six.cells[7].inputs[1] == six.output_nodes[3]
    assert six.loose_ends[4:6] == ((3,), (5,))  # C5 and C7, as published


def test_four_levels_are_the_published_cells_up_to_p5_and_p6_as_p7_was():
    published, four = (cells_by_levels(get_genotype(name)) for name in ('nasfpn', 'nasfpn_4_levels'))
    assert four[:5] == published[:5]
    assert published[5] == (7, *four[5][1:]) and len(four) == 6
    assert get_genotype('nasfpn_4_levels').loose_ends[4] == (2,)


def test_three_levels_are_the_published_cells_up_to_p5_with_p5_for_p6():
    published, three = (cells_by_levels(get_genotype(name)) for name in ('nasfpn', 'nasfpn_3_levels'))
    assert three[0] == (4, 'gp', (4, 5), False) and published[0] == (4, 'gp', (4, 6), False)
    assert three[1:] == published[1:5]
