"""A hash of architectures: the same for every genotype that describes the same one."""
import hashlib

from mmnasfpn.genotypes.genotype import Genotype


def architecture_hash(genotype: Genotype) -> str:
    """Return a hash of a genotype's architecture.

    Two genotypes are the same architecture, and have the same hash, if they differ only in

    - the order of the two inputs, except in ``gp`` at equal levels, where the first one gates;
    - the order of cells that do not depend on each other, as long as the same loose ends are added to
      the same outputs;
    - which terms of a sum are its inputs and which are added to it as loose ends.

    The hash is that of the sorted colours of the nodes after the refinement of Weisfeiler and Leman: a
    node's colour is made of its own, of those of the nodes that it takes, and of those that take it,
    until no refinement tells more nodes apart.

    Args:
        genotype (Genotype): Any genotype.

    Example:
        >>> from mmnasfpn.genotypes import MergingCell, get_genotype
        >>> cells = list(get_genotype('nasfpn').cells)
        >>> cells[0] = MergingCell(4, 'gp', (3, 1))
        >>> architecture_hash(Genotype(cells)) == architecture_hash(get_genotype('nasfpn'))
        True
    """
    edges = _edges(genotype)
    colours = [f'input {level}' for level in genotype.levels]
    colours += [f'{cell.op} {cell.level} {cell.is_output}' for cell in genotype.cells]
    num_colours = 0
    while num_colours < len(set(colours)):
        num_colours = len(set(colours))
        neighbours: list[list[tuple[str, str]]] = [[] for _ in colours]
        for taken, taker, role in edges:
            neighbours[taker].append((f'takes {role}', colours[taken]))
            neighbours[taken].append((f'is taken {role}', colours[taker]))
        colours = [_digest((colour, sorted(others)))
                   for colour, others in zip(colours, neighbours, strict=True)]
    return _digest(sorted(colours))[:16]


def _edges(genotype: Genotype) -> list[tuple[int, int, str]]:
    """Return which node is taken by which, and as what."""
    levels, edges = genotype.node_levels, []
    for index, cell in enumerate(genotype.cells):
        taker = genotype.num_levels + index
        is_gated = cell.op == 'gp' and levels[cell.inputs[0]] == levels[cell.inputs[1]]
        roles = ('as gate', 'as gated') if is_gated else ('as input', 'as input')
        edges += [(taken, taker, role) for taken, role in zip(cell.inputs, roles, strict=False)]
        end = 'as input' if cell.op == 'sum' else 'as loose end'  # a sum's terms are all alike
        edges += [(taken, taker, end) for taken in genotype.loose_ends[index]]
    return edges


def _digest(data: object) -> str:
    return hashlib.sha256(repr(data).encode()).hexdigest()
