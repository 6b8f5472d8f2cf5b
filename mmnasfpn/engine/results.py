"""Say at the end of a training where everything is, and what to do next."""
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from mmengine.runner import Runner

from mmnasfpn.visualization.curves import draw_curves


def report_results(runner: Runner) -> None:
    """Draw the curves of a training and log what it left: once, by the main process.

    Args:
        runner (Runner): The runner, after its training, also where nothing was left to train.
    """
    files = dict(_files(runner))
    lines = ['The training is done. It left:', *(f'  {name:<15} {path}' for name, path in files.items())]
    checkpoint = files.get('best checkpoint', files.get('last checkpoint'))
    if checkpoint and 'config' in files:
        config, found = shlex.quote(files['config']), shlex.quote(checkpoint)
        out = shlex.quote(_shown(Path(runner.work_dir)))
        lines += ['What you can do next:', f'  mim test mmnasfpn {config} --checkpoint {found}',
                  f'  mim run mmnasfpn predict {config} {found} IMAGE... --out {out}/predictions',
                  f'  mim run mmnasfpn analyze {config} {found} --out {out}/analysis']
    runner.logger.info('\n'.join(lines))


def _files(runner: Runner) -> Iterator[tuple[str, str]]:
    """Yield what there is by name."""
    info, log_dir = runner.message_hub.runtime_info, Path(runner.log_dir)
    best = next((key for key in info if key.startswith('best_ckpt')), '')
    work_dir = Path(runner.work_dir)
    for name, path in (
            ('last checkpoint', info.get('last_ckpt')),
            ('best checkpoint', info.get(best)),
            ('curves', _draw(runner)),
            ('config', work_dir / Path(runner.cfg.filename).name if runner.cfg.filename else None),
            ('log', next(iter(sorted(log_dir.glob('*.log'))), None)),
            ('scalars', log_dir / 'vis_data/scalars.json'),
            ('TensorBoard', next(log_dir.glob('vis_data/events.out.tfevents*'), None))):
        if path is not None and '://' in str(path):
            yield name, str(path)
        elif path is not None and Path(path).exists():
            yield name, _shown(Path(path))


def _draw(runner: Runner) -> Path | None:
    path = Path(runner.work_dir) / 'curves.png'
    try:
        draw_curves(runner.work_dir, path)
    except Exception as error:  # a training that has gone well ends well
        if not isinstance(error, FileNotFoundError):  # where nothing is logged
            runner.logger.warning(f'{path} could not be drawn: {error}')
        return None
    return path


def _shown(path: Path) -> str:
    """Return a path as short as it can be written."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative
