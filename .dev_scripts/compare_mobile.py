"""Put latencies of `tools/benchmark_runtimes.py` beside those of the paper's fast models (Figure 9b)."""
import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from paper_rows import read_table_1
from tradeoff import FIGURE_9, draw_series, finish, save

from mmnasfpn._markdown import to_table
from mmnasfpn.benchmark.settings import RUNTIMES
from mmnasfpn.engine.cli import give_table, markdown_file, output_file, run_tool

#: The rows of the paper's models by the names that they were measured under.
ROWS = {
    'NAS-FPNLite 3 @ 48': 'nasfpnlite-mbv2-3x48-320', 'NAS-FPNLite 7 @ 64': 'nasfpnlite-mbv2-7x64-320',
    'FPNLite @ 64': 'fpnlite-mbv2-64-320', 'FPNLite @ 128': 'fpnlite-mbv2-128-320',
    'SSDLite': 'ssdlite-mbv2-320'}

#: Of the picture, beside the paper's own.
PANELS = ('onnx', 'onnx-int8')

PART = "latencies beside the paper's"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('measured', type=Path, metavar='FILE',
                        help=f'what `tools/benchmark_runtimes.py --json FILE` wrote, with the models '
                             f'{", ".join(ROWS)}')
    parser.set_defaults(json=None)
    parser.add_argument('--markdown', type=markdown_file(PART), metavar='FILE',
                        help='write the table, between the marks of a file that exists')
    parser.add_argument('--picture', type=output_file('.png'), metavar='FILE',
                        help="draw the paper's AP over its latencies and ours")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    data = json.loads(args.measured.read_text())
    times = {(m['model'], m['runtime']): statistics.median(m['milliseconds'])
             for m in data['measurements'] if m['threads'] == 1}
    rows = read_table_1()
    table = compare(times, rows)
    give_table(args, table, None, PART, lambda path: draw(times, rows, data['machine'], path))


def compare(times: Mapping[tuple[str, str], float], rows: Mapping[str, Mapping[str, str]]) -> str:
    """Return a table of the latencies, and of their shares of SSDLite's."""
    runtimes = list(dict.fromkeys(runtime for _, runtime in times))
    lines = []
    for model, row in ROWS.items():
        paper = float(rows[row]['latency_ms'])
        lines.append((model, rows[row]['test_dev_ap'],
                      _with_share(paper, float(rows[ROWS['SSDLite']]['latency_ms'])),
                      *(_with_share(times[model, runtime], times['SSDLite', runtime])
                        for runtime in runtimes)))
    head = ('model', 'AP (paper)', 'Pixel 1 (paper)', *(RUNTIMES[runtime] for runtime in runtimes))
    return to_table(head, lines)


def _with_share(value: float, of: float) -> str:
    return f'{value:.1f} ({value / of:.2f})'


def draw(times: Mapping[tuple[str, str], float], rows: Mapping[str, Mapping[str, str]], machine: str,
         out: Path) -> None:
    """Draw the paper's AP over the paper's latency, and over ours."""
    measured = {row: model for model, row in ROWS.items()}
    figure = Figure(figsize=(14, 4.8), layout='constrained')
    axes_of = dict(zip(('paper', *PANELS), figure.subplots(1, 3, sharey=True), strict=True))
    for panel, axes in axes_of.items():
        for series in FIGURE_9['(b) fast models, 320x320']:
            points = [(float(rows[row]['latency_ms']) if panel == 'paper'
                       else times[measured[row], panel], float(rows[row]['test_dev_ap']), text)
                      for row, text in series.points.items() if row in measured]
            draw_series(axes, series, points, series.sides[0])
        what = ("Pixel 1 CPU (the paper's)" if panel == 'paper'
                else f'{RUNTIMES[panel]}, 1 thread, {machine} (ours)')
        axes.set_xlabel(f'ms: {what}')
        finish(axes, 'lower right')
    axes_of['paper'].set_ylabel("AP on test-dev (the paper's)")
    figure.suptitle("The APs are the paper's. The latencies in the middle and on the right are of our "
                    'models with random weights')
    save(figure, out)


if __name__ == '__main__':
    run_tool(main)
