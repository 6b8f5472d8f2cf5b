"""The hash of an architecture: one for all genotypes that describe it."""
import itertools
import random
from dataclasses import replace

from mmnasfpn.genotypes import Genotype, MergingCell, architecture_hash
from mmnasfpn.search import SearchSpace

SMALL = SearchSpace(0, 1, 2, [0, 1])


def cells_of(genotype):
    """What each node computes, apart from how it is written: an independent account."""
    levels = genotype.node_levels
    cells = {}
    for index, (cell, ends) in enumerate(zip(genotype.cells, genotype.loose_ends, strict=True)):
        if cell.op == 'sum':
            merged, ends = frozenset(cell.inputs + ends), ()
        elif levels[cell.inputs[0]] == levels[cell.inputs[1]]:
            merged = cell.inputs
        else:
            merged = frozenset(cell.inputs)
        node = genotype.num_levels + index
        cells[node] = (cell.level, cell.op, cell.is_output, merged, frozenset(ends))
    return cells


def are_the_same(one, other):
    """Say whether some renumbering of the cells turns one into the other: tries them all."""
    first, ones, others = one.num_levels, cells_of(one), cells_of(other)
    for order in itertools.permutations(others):
        new = {**{node: node for node in range(first)}, **dict(zip(ones, order, strict=True))}
        if all(others[new[node]] == (level, op, is_output, type(merged)(new[n] for n in merged),
                                     frozenset(new[n] for n in ends))
               for node, (level, op, is_output, merged, ends) in ones.items()):
            return True
    return False


def test_equal_hashes_are_equal_architectures_and_the_other_way_round():
    rng = random.Random(0)
    for _ in range(300):
        one, other = SMALL.sample(rng), SMALL.sample(rng)
        assert (architecture_hash(one) == architecture_hash(other)) == are_the_same(one, other)


def test_architectures_of_a_small_space_are_as_many_as_found_by_comparing_all():
    space = SearchSpace(0, 1, 1, [0, 1], ['gp'])
    classes = []
    hashes = set()
    for actions in itertools.product(*(range(decision.num_actions) for decision in space.decisions)):
        genotype = space.decode(actions)
        hashes.add(architecture_hash(genotype))
        if not any(are_the_same(genotype, other) for other in classes):
            classes.append(genotype)
    assert len(hashes) == len(classes) < space.size() * 2 ** space.num_cells


def test_the_order_of_inputs_does_not_matter_but_in_gp_at_equal_levels():
    def genotype(op, inputs):
        return Genotype([MergingCell(1, op, inputs), MergingCell(0, 'sum', (0, 2), True),
                         MergingCell(1, 'gp', (2, 1), True)], 0, 1)

    for op in ('sum', 'gp'):
        assert architecture_hash(genotype(op, (0, 1))) == architecture_hash(genotype(op, (1, 0)))
    one = genotype('sum', (0, 1))
    other = Genotype([*one.cells[:2], replace(one.cells[2], inputs=(1, 2))], 0, 1)
    assert one.node_levels[1] == one.node_levels[2]
    assert architecture_hash(one) != architecture_hash(other)


def test_the_order_of_independent_cells_does_not_matter():
    first, second = MergingCell(4, 'gp', (1, 3)), MergingCell(5, 'sum', (0, 2))
    rest = [MergingCell(level, 'sum', (5, 6), True) for level in (3, 4, 5, 6, 7)]
    assert (architecture_hash(Genotype([first, second, *rest]))
            == architecture_hash(Genotype([second, first, *rest])))


def test_orders_of_outputs_that_change_the_loose_ends_are_different():
    # Two outputs that do not depend on each other, with and without a loose end that hangs on the order.
    p5, p6 = MergingCell(5, 'sum', (0, 1), True), MergingCell(6, 'sum', (0, 2), True)
    rest = [MergingCell(level, 'sum', (0, 1), True) for level in (3, 4, 7)]
    assert Genotype([p5, p6, *rest]).loose_ends[0] == (2,)  # the input of level 5
    assert Genotype([p6, p5, *rest]).loose_ends[1] == ()  # P6 took it
    assert architecture_hash(Genotype([p5, p6, *rest])) != architecture_hash(Genotype([p6, p5, *rest]))
    p6 = replace(p6, inputs=(0, 1))
    assert architecture_hash(Genotype([p5, p6, *rest])) == architecture_hash(Genotype([p6, p5, *rest]))


def test_an_unused_intermediate_cell_is_a_term_of_the_sum_of_its_level():
    unused = Genotype([MergingCell(1, 'gp', (0, 1)), MergingCell(1, 'sum', (0, 1), True),
                       MergingCell(0, 'sum', (0, 3), True)], 0, 1)
    assert unused.loose_ends[1] == (2,)
    # Written as an input, with the input map of that level as loose end of nothing: it is taken.
    used = Genotype([MergingCell(1, 'gp', (0, 1)), MergingCell(1, 'sum', (0, 2), True),
                     MergingCell(0, 'sum', (0, 3), True)], 0, 1)
    assert used.loose_ends[1] == ()  # so that the map of level 1 is not a term here
    assert architecture_hash(unused) != architecture_hash(used)
    both = Genotype([MergingCell(1, 'gp', (0, 3)), MergingCell(1, 'gp', (0, 3)), *(
        MergingCell(level, 'sum', inputs, True) for level, inputs in ((1, (1, 4)), (0, (0, 1)),
                                                                     (2, (0, 2)), (3, (0, 3))))], 0, 3)
    assert both.loose_ends[2] == (5,)
    swapped = Genotype([*both.cells[:2], replace(both.cells[2], inputs=(1, 5)), *both.cells[3:]], 0, 3)
    assert swapped.loose_ends[2] == (4,)
    assert architecture_hash(both) == architecture_hash(swapped)


def test_cells_that_only_their_users_tell_apart_are_told_apart():
    twins = [MergingCell(4, 'sum', (1, 3)), MergingCell(4, 'sum', (1, 3))]
    rest = [MergingCell(level, 'sum', (0, 2), True) for level in (5, 6, 7)]

    def genotype(p3, p4):
        return Genotype([*twins, MergingCell(3, 'gp', p3, True), MergingCell(4, 'gp', p4, True), *rest])

    assert architecture_hash(genotype((5, 0), (6, 0))) == architecture_hash(genotype((6, 0), (5, 0)))
    assert architecture_hash(genotype((5, 0), (6, 0))) != architecture_hash(genotype((5, 0), (5, 0)))


def test_an_input_is_told_from_a_loose_end_of_the_same_cell():
    def genotype(gate):
        return Genotype([MergingCell(1, 'sum', (0, 1)), MergingCell(1, 'sum', (0, 2)),
                         MergingCell(1, 'gp', (1, 2)), MergingCell(1, 'sum', (0, 2)),
                         MergingCell(0, 'sum', (0, 4), True),
                         MergingCell(1, 'gp', (1, gate), True)], 0, 1)

    assert are_the_same(genotype(3), genotype(5))
    assert architecture_hash(genotype(3)) == architecture_hash(genotype(5))


def test_rewritings_have_one_hash():
    space = SearchSpace(0, 1, 3, [0, 1])
    rng = random.Random(2)
    for _ in range(150):
        genotype = space.sample(rng)
        # Intermediate cells in another order, where that is still the same architecture.
        order = [*rng.sample(range(3), 3), 3, 4]
        new = {**{0: 0, 1: 1}, **{2 + old: 2 + place for place, old in enumerate(order)}}
        cells = [genotype.cells[old] for old in order]
        cells = [replace(cell, inputs=tuple(new[n] for n in cell.inputs)) for cell in cells]
        if any(n >= 2 + place for place, cell in enumerate(cells) for n in cell.inputs):
            continue
        assert architecture_hash(Genotype(cells, 0, 1)) == architecture_hash(genotype)
