"""Train configs with several seeds, and show how far the results lie apart."""
import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mmnasfpn.analysis.model_tables import SEEDS_PART, check_markdown, write_markdown
from mmnasfpn.analysis.seeds import draw_seeds, to_markdown, train_seeds


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='paths of the configs, of different names')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2, 3, 4], help='(0 1 2 3 4)')
    parser.add_argument('--work-dir', default='work_dirs/seeds', type=Path,
                        help='where the runs are; the same command goes on with them (%(default)s)')
    parser.add_argument('--jobs', type=int, default=1, help='how many run at a time (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='override settings, as a.b=value')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write each run as JSON')
    parser.add_argument('--markdown', type=Path, metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    parser.add_argument('--picture', type=Path, metavar='FILE', help='draw the runs')
    args = parser.parse_args()
    names = [Path(config).stem for config in args.configs]
    if len(set(names)) < len(names):
        parser.error(f'configs: two have the same name among {names}')
    if missing := [config for config in args.configs if not Path(config).is_file()]:
        parser.error(f'configs: there is no file {missing[0]}')
    if args.jobs < 1 or len(set(args.seeds)) < len(args.seeds):
        parser.error('--jobs must be at least 1, and --seeds different numbers')
    if args.markdown:
        try:
            check_markdown(args.markdown, SEEDS_PART)
        except ValueError as error:
            parser.error(str(error))
    return args


def main() -> None:
    args = parse_args()
    console = Console()
    runs = []
    for run in track(
            train_seeds(args.configs, args.seeds, args.work_dir, args.jobs, args.cfg_options),
            'Training', total=len(args.configs) * len(args.seeds), console=console):
        console.print(f'{run.config}, seed {run.seed}: AP {run.ap} {run.reason}', markup=False)
        runs.append(run)
    runs.sort(key=lambda run: ([Path(c).stem for c in args.configs].index(run.config), run.seed))
    table = to_markdown(runs)
    console.print(table, markup=False, soft_wrap=True)
    if args.json:
        args.json.write_text(json.dumps([asdict(run) for run in runs], indent=1) + '\n')
    if args.markdown:
        write_markdown(args.markdown, table, SEEDS_PART)
    if args.picture:
        draw_seeds(runs, args.picture)
    if any(run.ap is None for run in runs):
        sys.exit('compare_seeds: some runs failed; the same command tries them again')


if __name__ == '__main__':
    main()
