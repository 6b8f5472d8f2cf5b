"""Hypothesis strategies for genotypes."""
from hypothesis import strategies as st

from mmnasfpn.genotypes import OPS, Genotype, MergingCell


@st.composite
def genotypes(draw, min_levels=3, max_levels=6):
    """Draw genotypes of any valid form, output cells and intermediate ones interleaved.

    Intermediate cells come at a level only while its output is still to be made, so that the
    output adds them if nothing else takes them.
    """
    min_level = draw(st.integers(0, 4))
    num_levels = draw(st.integers(min_levels, max_levels))
    to_output = draw(st.permutations(range(min_level, min_level + num_levels)))
    cells = []
    while to_output:
        is_output = len(cells) >= 12 or draw(st.booleans())
        level = to_output.pop() if is_output else draw(st.sampled_from(to_output))
        nodes = st.integers(0, num_levels + len(cells) - 1)
        op = draw(st.sampled_from(OPS))
        least = 1 if op == 'sum' else 2
        inputs = draw(st.lists(nodes, min_size=least, max_size=2, unique=True))
        cells.append(MergingCell(level, op, inputs, is_output))
    return Genotype(cells, min_level, min_level + num_levels - 1)
