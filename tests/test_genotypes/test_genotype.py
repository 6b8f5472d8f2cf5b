"""Genotypes: what they accept, refuse, and keep."""
import copy
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmnasfpn.genotypes import OPS, Genotype, GenotypeError, MergingCell, get_genotype
from tests.strategies import genotypes


@given(genotypes())
def test_json_and_dict_round_trip_exactly(genotype):
    for again in (Genotype.from_json(genotype.to_json()), Genotype.from_dict(genotype.to_dict()),
                  Genotype.from_json(json.dumps(genotype.to_dict()))):
        assert again == genotype
        assert hash(again) == hash(genotype)
        assert again.to_json() == genotype.to_json()


@given(genotypes(), st.data())
def test_equal_exactly_when_written_the_same(one, data):
    changed = one.to_dict()
    if data.draw(st.booleans()):
        cell = data.draw(st.sampled_from(changed['cells']))
        if len(cell['inputs']) == 2:
            cell['op'] = data.draw(st.sampled_from(OPS))
        cell['inputs'] = data.draw(st.permutations(cell['inputs']))
    other = Genotype.from_dict(changed)
    assert (one == other) == (one.to_json() == other.to_json())


@given(genotypes())
def test_every_node_reaches_an_output(genotype):
    taken = {node for cell, ends in zip(genotype.cells, genotype.loose_ends, strict=True)
             for node in (*cell.inputs, *ends)}
    assert taken | set(genotype.output_nodes.values()) == set(range(len(genotype.node_levels)))


def test_json_is_one_line_per_cell_with_the_documented_keys():
    text = get_genotype('nasfpn').to_json()
    assert len(text.splitlines()) == 7 + 2
    data = json.loads(text)
    assert (data['min_level'], data['max_level']) == (3, 7)
    assert data['cells'][0] == {'level': 4, 'op': 'gp', 'inputs': [1, 3], 'is_output': False}


def _cell(data, draw):
    return draw(st.integers(0, len(data['cells']) - 1))


def _own_or_later_input(data, draw):
    index = _cell(data, draw)
    num_levels = data['max_level'] - data['min_level'] + 1
    data['cells'][index]['inputs'][-draw(st.integers(0, 1))] = (
        num_levels + index + draw(st.integers(0, 5)))


def _negative_input(data, draw):
    data['cells'][_cell(data, draw)]['inputs'][-draw(st.integers(0, 1))] = draw(st.integers(-9, -1))


def _one_input_with_gp(data, draw):
    cell = data['cells'][_cell(data, draw)]
    cell.update(op='gp', inputs=cell['inputs'][:1])


def _level_outside(data, draw):
    outside = st.sampled_from([-1, data['min_level'] - 1, data['max_level'] + 1, 99])
    data['cells'][_cell(data, draw)]['level'] = draw(outside)


def _unknown_key(data, draw):
    target = draw(st.sampled_from([data, *data['cells']]))
    target[draw(st.sampled_from(['stride', 'ops', 'inputs ', 'Level']))] = 1


def _missing_key(data, draw):
    target, keys = draw(st.sampled_from(
        [(data, ['cells']), *((cell, ['level', 'op', 'inputs']) for cell in data['cells'])]))
    del target[draw(st.sampled_from(keys))]


def _output_missing(data, draw):
    outputs = [cell for cell in data['cells'] if cell['is_output']]
    draw(st.sampled_from(outputs))['is_output'] = False


def _output_twice(data, draw):
    outputs = [cell for cell in data['cells'] if cell['is_output']]
    data['cells'].append(copy.deepcopy(draw(st.sampled_from(outputs))))


def _wrong_levels(data, draw):
    field, value = draw(st.sampled_from([
        ('min_level', data['max_level']), ('min_level', data['max_level'] + 1), ('min_level', '3'),
        ('min_level', -1), ('max_level', None), ('max_level', data['max_level'] + 1),
        ('cells', None), ('cells', {}), ('cells', 'sum'), ('cells', []), ('cells', [3])]))
    data[field] = value


def _unused_cell(data, draw):
    data['cells'].append({'level': draw(st.integers(data['min_level'], data['max_level'])),
                          'op': 'sum', 'inputs': [0, 1], 'is_output': False})


MUTATIONS = {f.__name__.strip('_'): f for f in (
    _own_or_later_input, _negative_input, _one_input_with_gp, _level_outside, _unknown_key,
    _missing_key, _output_missing, _output_twice, _wrong_levels, _unused_cell)}


@pytest.mark.parametrize('mutation', MUTATIONS)
@given(genotype=genotypes(), data=st.data())
def test_invalid_mutations_are_refused(mutation, genotype, data):
    mutated = genotype.to_dict()
    MUTATIONS[mutation](mutated, data.draw)
    with pytest.raises(GenotypeError):
        Genotype.from_dict(mutated)
    with pytest.raises(GenotypeError):
        Genotype.from_json(json.dumps(mutated))


@pytest.mark.parametrize(('field', 'values'), [
    ('level', (True, '4', 4.0, None)), ('op', ('max', 'GP', 'Sum', '', None, 1, ['sum'])),
    ('inputs', ('ab', None, [0.0, 1], [False, True], ['0', '1'], {0: 0, 1: 0}, [0, 0], [], [0, 1, 2])),
    ('is_output', (1, None, 'true'))])
def test_a_value_that_a_field_cannot_have_is_refused_in_each_cell(field, values):
    for index, value in itertools.product(range(7), values):
        data = get_genotype('nasfpn').to_dict()
        data['cells'][index][field] = value
        with pytest.raises(GenotypeError, match=field):
            Genotype.from_dict(data)
        with pytest.raises(GenotypeError, match=field):
            Genotype.from_json(json.dumps(data))


@pytest.mark.parametrize(('change', 'words'), [
    (dict(level=9), ['cells[2]', 'level', '9', '3..7']),
    (dict(op='max'), ['cells[2]', 'op', "'max'", "'sum'", "'gp'"]),
    (dict(inputs=[0, 7]), ['cells[2]', 'inputs', '7', 'node 7', '0..6']),
    (dict(inputs=[6, 6]), ['cells[2]', 'inputs', '[6, 6]', 'differ']),
    (dict(op='gp', inputs=[6]), ['cells[2]', 'inputs', '[6]', "'gp'", 'two nodes', "'sum'"]),
    (dict(is_output=False), ['output of level 3', '3..7']),
    (dict(colour='red'), ['cells[2]', "'colour'", 'level, op, inputs']),
])
def test_errors_name_the_cell_the_field_the_value_and_what_it_may_be(change, words):
    data = get_genotype('nasfpn').to_dict()
    data['cells'][2].update(change)
    with pytest.raises(GenotypeError) as caught:
        Genotype.from_dict(data)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize('text', [
    '', 'nasfpn', '[]', 'null', '3', '"x"', '{', '{"cells": 1}', '{}', '[' * 100_000,
    '{"cells": [], "cells": []}', '1' * 5000, b'\xff\xfe\x00',
    '{"cells": [], "max_level": 3000000}'])
def test_junk_json_is_refused(text):
    with pytest.raises(GenotypeError):
        Genotype.from_json(text)


def test_a_key_that_stands_twice_in_json_is_refused_even_if_both_are_equal():
    text = get_genotype('nasfpn').to_json().replace('"op": "gp"', '"op": "gp", "op": "gp"', 1)
    with pytest.raises(GenotypeError, match="'op' stands twice"):
        Genotype.from_json(text)


def test_cells_and_genotypes_are_frozen_and_keep_no_list_of_the_caller():
    inputs = [0, 1]
    cell = MergingCell(4, 'sum', inputs)
    inputs[0] = 3
    assert cell.inputs == (0, 1)
    with pytest.raises(AttributeError):
        cell.level = 5
    with pytest.raises(AttributeError):
        get_genotype('nasfpn').min_level = 2


def test_whole_numbers_of_numpy_are_taken_as_ints():
    cell = MergingCell(np.int64(4), 'sum', np.array([0, 1]))
    assert cell == MergingCell(4, 'sum', (0, 1))
    assert json.dumps(cell.to_dict())
