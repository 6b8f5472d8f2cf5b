"""When a pyramid network resizes and frees its maps."""
from hypothesis import given
from hypothesis import strategies as st

from mmnasfpn.genotypes import get_genotype
from mmnasfpn.models.necks.schedule import Resize, schedule
from tests.strategies import genotypes


def test_the_schedule_of_the_published_genotype():
    steps = schedule(get_genotype('nasfpn'), is_aligned=True)
    assert [step.resizes for step in steps] == [
        (), (), (), (Resize(7, 3, 4),),  # cells upsample the coarser input themselves
        (Resize(7, 4, 5), Resize(8, 4, 5)),  # node 7 by way of P4, where cell 8 takes it
        (Resize(6, 4, 7), Resize(9, 5, 6), Resize(9, 6, 7)), ()]
    assert [step.inputs for step in steps] == [
        ((1, 4), (3, 6)), ((1, 4), (5, 4)), ((0, 3), (6, 4)), ((6, 4), (7, 4)), ((7, 5), (8, 5)),
        ((6, 7), (9, 7)), ((9, 6), (10, 7))]


def test_maps_that_are_not_aligned_come_from_their_own_level():
    steps = schedule(get_genotype('nasfpn'), is_aligned=False)
    assert steps[4].resizes == (Resize(7, 3, 5), Resize(8, 4, 5))
    assert steps[0].inputs == ((1, 4), (3, 4))


@given(genotype=genotypes(), is_aligned=st.booleans())
def test_every_map_is_made_once_kept_while_it_is_taken_and_freed_then(genotype, is_aligned):
    maps = set(enumerate(genotype.levels))
    made, inputs = [], set()
    for index, (cell, step) in enumerate(
            zip(genotype.cells, schedule(genotype, is_aligned), strict=True)):
        for node, source, level in step.resizes:
            assert (node, source) in maps
            maps.add((node, level))
            made.append((node, level))
        assert [node for node, _ in step.inputs] == list(cell.inputs)
        taken = {*step.inputs, *((node, cell.level) for node in genotype.loose_ends[index])}
        assert taken <= maps
        inputs.update(step.inputs)
        maps.add((genotype.num_levels + index, cell.level))
        assert set(step.last_uses) <= maps
        maps -= set(step.last_uses)
    assert maps == {(node, level) for level, node in genotype.output_nodes.items()}
    assert sorted(made) == sorted(
        (node, level) for node, level in inputs if genotype.node_levels[node] != level)


@given(genotype=genotypes())
def test_only_the_coarser_of_two_inputs_comes_at_its_own_level(genotype):
    for cell, step in zip(genotype.cells, schedule(genotype, is_aligned=True), strict=True):
        levels = [genotype.node_levels[node] for node in cell.inputs]
        expected = [cell.level] * len(levels)
        if len(levels) == 2 and max(levels) > cell.level:
            expected[levels.index(max(levels))] = max(levels)
        assert [level for _, level in step.inputs] == expected
