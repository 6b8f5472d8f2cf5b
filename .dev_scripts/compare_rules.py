"""Train a detector by the authors' rules, by MMDetection's, and with each one of MMDetection's alone."""
import argparse
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console

from mmnasfpn._files import write_text
from mmnasfpn.benchmark.seeds import draw_seeds, read_seeds, show_progress, to_markdown, train_seeds
from mmnasfpn.engine.cli import (
    MAX_NUMPY_SEED,
    give_table,
    markdown_file,
    output_file,
    output_folder,
    run_tool,
    whole_number,
)
from mmnasfpn.engine.config import find_config

#: The part of a Markdown file that the table replaces.
RULES_PART = 'rules'
#: The last are those of mmdet_rules, which imports PyTorch.
RULES = ('authors', 'mmdet', 'average-gate', 'swapped-gate', 'swapped-average-gate', 'coarser-convs',
         'conv-bias', 'resampling')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help="path of the config, or the file's name of one of ours")
    parser.add_argument('--rules', nargs='+', choices=RULES, default=list(RULES), help='(all)')
    parser.add_argument('--seeds', type=whole_number(0, MAX_NUMPY_SEED), nargs='+',
                        default=[0, 1, 2, 3, 4], help='(0 1 2 3 4)')
    parser.add_argument('--work-dir', type=output_folder, default='work_dirs/rules',
                        help='where the runs are; the same command goes on with them (%(default)s)')
    parser.add_argument('--jobs', type=whole_number(1), default=1, help='how many run at a time (1)')
    parser.add_argument('--no-train', action='store_true',
                        help='train nothing: show the runs that are finished')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='override settings, as a.b=value')
    parser.add_argument('--json', type=output_file('.json'), metavar='FILE',
                        help='write each run as JSON')
    parser.add_argument('--markdown', type=markdown_file(RULES_PART), metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    parser.add_argument('--picture', type=output_file('.png'), metavar='FILE', help='draw the runs')
    args = parser.parse_args()
    args.rules = list(dict.fromkeys(['authors', *args.rules]))
    return args


def write_config(config: str, rule: str, folder: Path) -> str:
    """Write a child of a config whose neck follows a rule, and return its path."""
    child = folder.absolute() / f'{rule}.py'
    write_text(child, f'_base_ = [{str(Path(config).absolute())!r}]\n'
                      "custom_imports = dict(imports=['mmdet_rules'])\n"
                      f'model = dict(neck=dict(variant={rule!r}))\n')
    return str(child)


def main() -> None:
    args = parse_args()
    # Where the trainings find mmdet_rules.
    os.environ['PYTHONPATH'] = os.pathsep.join(
        [str(Path(__file__).parent.absolute()), *filter(None, [os.environ.get('PYTHONPATH')])])
    configs = [write_config(find_config(args.config), rule, args.work_dir / 'configs')
               for rule in args.rules]
    console = Console()
    if args.no_train:
        runs = read_seeds(configs, args.seeds, args.work_dir, args.cfg_options)
    else:
        trained = train_seeds(configs, args.seeds, args.work_dir, args.jobs, args.cfg_options)
        runs = show_progress(trained, configs, len(configs) * len(args.seeds), console)
    give_table(args, to_markdown(runs, baseline='authors'), [asdict(run) for run in runs], RULES_PART,
               partial(draw_seeds, runs))


if __name__ == '__main__':
    run_tool(main, 'the same command goes on')
