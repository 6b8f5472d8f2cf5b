"""Draw a genotype as the paper draws its own: a graph (Figure 7) or a diagram of boxes (Figure 6)."""
import argparse
from pathlib import Path

from mmnasfpn.engine.cli import output_file, run_tool
from mmnasfpn.genotypes import GENOTYPES, get_genotype
from mmnasfpn.visualization.genotype_drawing import SUFFIXES, draw_boxes, draw_graph

STYLES = dict(graph=draw_graph, boxes=draw_boxes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('genotype', help=f"a name ({', '.join(sorted(GENOTYPES))}) or a .json file")
    parser.add_argument('--out', type=output_file(*SUFFIXES), required=True, metavar='FILE',
                        help=f"file to write ({', '.join(SUFFIXES)})")
    parser.add_argument('--style', choices=STYLES, default='graph', help='(%(default)s)')
    parser.add_argument('--title', help='text above the drawing (the name)')
    args = parser.parse_args()
    try:
        genotype = get_genotype(args.genotype)
    except ValueError as error:  # GenotypeError is one
        parser.error(str(error))
    title = Path(args.genotype).stem if args.title is None else args.title
    STYLES[args.style](genotype, args.out, title)


if __name__ == '__main__':
    run_tool(main)
