"""When a pyramid network resizes and frees its maps."""
from hypothesis import given
from hypothesis import strategies as st

from mmnasfpn.genotypes import get_genotype
from mmnasfpn.models.necks.schedule import Resize, schedule
from tests.strategies import genotypes


def test_the_schedule_of_the_published_genotype():
    steps = schedule(get_genotype('nasfpn'), is_aligned=True)
    assert [step.resizes for step in steps] == [
        (Resize(3, 6, 4),), (), (Resize(6, 4, 3),), (Resize(7, 3, 4),),
        (Resize(7, 4, 5), Resize(8, 4, 5)),  # node 7 by way of P4, where cell 8 takes it
        (Resize(6, 4, 7), Resize(9, 5, 6), Resize(9, 6, 7)), (Resize(10, 7, 6),)]
    assert [step.pool for step in steps] == [(3, 6), None, None, None, (8, 5), (9, 7), (10, 7)]


def test_maps_that_are_not_aligned_come_from_their_own_level():
    steps = schedule(get_genotype('nasfpn'), is_aligned=False)
    assert steps[4].resizes == (Resize(7, 3, 5), Resize(8, 4, 5))
    assert all(step.pool is None for step in steps)


@given(genotype=genotypes(), is_aligned=st.booleans())
def test_every_map_is_made_once_kept_while_it_is_taken_and_freed_then(genotype, is_aligned):
    maps = set(enumerate(genotype.levels))
    made = []
    for index, (cell, step) in enumerate(
            zip(genotype.cells, schedule(genotype, is_aligned), strict=True)):
        for node, source, level in step.resizes:
            assert (node, source) in maps
            maps.add((node, level))
            made.append((node, level))
        taken = {(node, cell.level) for node in (*cell.inputs, *genotype.loose_ends[index])}
        assert taken <= maps and (step.pool is None or step.pool in maps)
        maps.add((genotype.num_levels + index, cell.level))
        assert set(step.last_uses) <= maps
        maps -= set(step.last_uses)
    assert maps == {(node, level) for level, node in genotype.output_nodes.items()}
    wanted = {(node, cell.level) for cell in genotype.cells for node in cell.inputs
              if genotype.node_levels[node] != cell.level}
    assert sorted(made) == sorted(wanted)
