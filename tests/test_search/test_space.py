"""The search space."""
import itertools
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmnasfpn.genotypes import Genotype, get_genotype
from mmnasfpn.search import SearchSpace

LITE = SearchSpace(3, 6, num_intermediate=11)
SPACES = [
    SearchSpace(), LITE, SearchSpace(0, 2, 0), SearchSpace(2, 7, 3, [3, 5], ['gp']),
    SearchSpace(3, 5, 2, [[4], [5, 3]], ['gp', 'sum'])]


def test_the_papers_space_has_as_many_genotypes_as_counted_by_hand():
    intermediate = math.comb(5, 2) * math.comb(6, 2) * 4 ** 2 * 2 ** 2
    outputs = math.prod(math.comb(nodes, 2) for nodes in range(7, 12)) * 2 ** 5 * math.factorial(5)
    assert SearchSpace().size() == intermediate * outputs
    assert f'{SearchSpace().size():.1e}' == '1.9e+15'


def test_size_is_that_of_an_exhaustive_list():
    space = SearchSpace(0, 1, 1, [0, 1], ['sum'])
    genotypes = {space.decode(actions) for actions in itertools.product(
        *(range(decision.num_actions) for decision in space.decisions))}
    unordered = {tuple((cell.level, cell.op, frozenset(cell.inputs)) for cell in genotype.cells)
                 for genotype in genotypes}
    assert len(unordered) == space.size()
    assert len(genotypes) == space.size() * 2 ** space.num_cells


@given(st.sampled_from(SPACES), st.data())
def test_every_vector_of_actions_is_one_genotype_and_back(space, data):
    actions = [data.draw(st.integers(0, decision.num_actions - 1)) for decision in space.decisions]
    genotype = space.decode(actions)
    assert isinstance(genotype, Genotype) and genotype in space
    assert space.encode(genotype) == actions


@given(st.sampled_from(SPACES), st.integers(0, 1000))
def test_samples_are_in_the_space_and_follow_the_seed(space, seed):
    genotype = space.sample(random.Random(seed))
    assert genotype == space.sample(random.Random(seed))
    assert space.decode(space.encode(genotype)) == genotype
    intermediate, outputs = (genotype.cells[:space.num_intermediate],
                             genotype.cells[space.num_intermediate:])
    assert not any(cell.is_output for cell in intermediate) and all(cell.is_output for cell in outputs)
    assert all(cell.level in levels
               for cell, levels in zip(intermediate, space.intermediate_levels, strict=True))


def test_samples_are_uniform():
    space = SearchSpace(0, 1, 0, ops=['sum'])  # 2 inputs x 6 ordered pairs x 2 orders of the levels
    rng = random.Random(0)
    counts = {}
    for _ in range(4800):
        genotype = space.sample(rng)
        counts[genotype] = counts.get(genotype, 0) + 1
    assert len(counts) == 24
    assert all(140 < count < 260 for count in counts.values())


def test_the_published_genotypes_are_in_their_spaces():
    assert get_genotype('nasfpn') in SearchSpace()
    assert get_genotype('nasfpn_lite') in LITE
    assert LITE.num_cells == 15
    assert not any(get_genotype(name) in SearchSpace() for name in ('fpn', 'pafpn', 'nasfpn_lite'))


def test_intermediate_cells_are_never_on_the_finest_level_by_default():
    assert SearchSpace().intermediate_levels == ((4, 5, 6, 7),) * 2


def test_a_space_is_made_again_from_its_own_data():
    for space in SPACES:
        again = SearchSpace(**space.to_dict())
        assert again == space and hash(again) == hash(space) and again.decisions == space.decisions


@pytest.mark.parametrize(('arguments', 'words'), [
    (dict(min_level=7, max_level=7), 'no genotype.*above min_level, 7'),
    (dict(min_level=-1), 'min_level is -1'),
    (dict(num_intermediate=-1), 'num_intermediate is -1'),
    (dict(num_intermediate=2.0), r'num_intermediate is 2\.0'),
    (dict(ops=[]), 'ops is empty: the space holds no genotype'),
    (dict(ops=['max']), r"ops is \['max'\].*'sum', 'gp'"),
    (dict(ops='sum'), "ops is 'sum'"),
    (dict(intermediate_levels=[]), 'intermediate_levels is empty: the space holds no genotype'),
    (dict(intermediate_levels=[[4], []]), 'intermediate_levels is empty: the space holds no genotype'),
    (dict(intermediate_levels=[4, 8]), r'intermediate_levels is \[4, 8\].*each once'),
    (dict(intermediate_levels=[4, 4]), 'each once'),
    (dict(intermediate_levels=[[4]]), '1 lists.*each of the 2'),
    (dict(intermediate_levels=4), 'must be a list of levels'),
    (dict(intermediate_levels=[[4], 5]), 'intermediate_levels is 5'),
])
def test_a_space_that_cannot_be_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        SearchSpace(**arguments)


@pytest.mark.parametrize(('genotype', 'words'), [
    ('fpn', 'number of cells is 5, but must be 7'),
    ('nasfpn_lite', 'levels are 3 to 6, but must be 3 to 7'),
])
def test_a_genotype_of_another_space_is_named(genotype, words):
    with pytest.raises(ValueError, match=f'not in the space: its {words}'):
        SearchSpace().encode(get_genotype(genotype))


def test_what_does_not_fit_in_a_genotype_is_named():
    nasfpn = get_genotype('nasfpn')
    with pytest.raises(ValueError, match=r'op of cells\[0\] is .gp., but may be one of \[.sum.\]'):
        SearchSpace(ops=['sum']).encode(nasfpn)
    with pytest.raises(ValueError, match=r'level of cells\[1\] is 4, but may be one of \[5\]'):
        SearchSpace(intermediate_levels=[[4], [5]]).encode(nasfpn)
    with pytest.raises(ValueError, match=r'cells\[2\] is an output cell, but the first 3'):
        SearchSpace(2, 5, 3).encode(_with_output_early())


def _with_output_early():
    """A genotype of 7 cells on levels 2 to 5 whose third cell is an output, the fourth is not."""
    cells = list(SearchSpace(2, 5, 3).sample(random.Random(3)).cells)
    cells[2], cells[3] = replace(cells[3], inputs=(0, 1)), replace(cells[2], inputs=(0, 1))
    if cells[3].level == cells[2].level:
        cells[3] = replace(cells[3], level=next(c.level for c in cells[4:]))
    return Genotype(cells, 2, 5)


@pytest.mark.parametrize(('actions', 'words'), [
    ([0] * 27, '27 actions, but the space has 28 decisions'),
    ([5, *[0] * 27], r'cell_0_input_1 is 5, but must be in 0\.\.4'),
    ([-1, *[0] * 27], 'cell_0_input_1 is -1'),
    ([True, *[0] * 27], 'cell_0_input_1 is True'),
])
def test_a_vector_that_is_none_is_named(actions, words):
    with pytest.raises(ValueError, match=words):
        SearchSpace().decode(actions)
