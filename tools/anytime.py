"""Evaluate every exit of an anytime detector: AP, size, and measured latency."""
import argparse
from dataclasses import asdict

from rich.console import Console

from mmnasfpn._files import write_json
from mmnasfpn._markdown import write_markdown
from mmnasfpn.engine.cli import (
    config_parser,
    load_parsed_config,
    markdown_file,
    output_file,
    run_tool,
    whole_number,
)

#: The part of a Markdown file that the table replaces.
PART = 'exits'


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, is_run=False)
    parser.add_argument('checkpoints', nargs='+', metavar='checkpoint',
                        help='its checkpoint; of several, those of other seeds, the AP is the mean')
    parser.add_argument('--plain', nargs='+', default=[], metavar='CHECKPOINT',
                        help='checkpoints of the plain detector of the same size: shows what deep '
                             'supervision costs the last exit and gives the others')
    parser.add_argument('--timed', type=whole_number(1), default=30, metavar='N',
                        help='images on which the latency is measured (30)')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE', help='write all figures')
    parser.add_argument('--picture', type=output_file('.png', '.svg', '.pdf'), metavar='FILE',
                        help='draw AP over latency')
    parser.add_argument('--markdown', type=markdown_file(PART), metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmnasfpn.anytime.evaluate import evaluate_anytime
    from mmnasfpn.anytime.report import draw_anytime, to_markdown

    report = evaluate_anytime(load_parsed_config(args), args.checkpoints, args.plain, args.timed,
                              args.trust_checkpoint)
    Console().print(to_markdown(report), markup=False, soft_wrap=True)
    if args.json:
        write_json(args.json, asdict(report))
    if args.markdown:
        write_markdown(args.markdown, to_markdown(report), PART)
    if args.picture:
        draw_anytime(report, args.picture)


if __name__ == '__main__':
    run_tool(main)
