"""Draw a genotype as the paper draws its own: a graph (Figure 7) or a diagram of boxes (Figure 6)."""
import argparse
from pathlib import Path

from mmnasfpn.analysis.genotype_drawing import SUFFIXES, draw_boxes, draw_graph, drawing_path
from mmnasfpn.genotypes import GENOTYPES, get_genotype

STYLES = dict(graph=draw_graph, boxes=draw_boxes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('genotype', help=f"a name ({', '.join(sorted(GENOTYPES))}) or a .json file")
    parser.add_argument('--out', required=True, help=f"picture to write ({', '.join(SUFFIXES)})")
    parser.add_argument('--style', choices=STYLES, default='graph', help='(%(default)s)')
    parser.add_argument('--title', help='text above the drawing (the name)')
    args = parser.parse_args()
    try:
        genotype, out = get_genotype(args.genotype), drawing_path(args.out)
    except ValueError as error:  # GenotypeError is one
        parser.error(str(error))
    title = Path(args.genotype).stem if args.title is None else args.title
    STYLES[args.style](genotype, out, title)


if __name__ == '__main__':
    main()
