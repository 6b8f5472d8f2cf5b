"""The comparison over seeds: what is trained, what is kept, what the table says."""
import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure
from mmengine.config import Config

from mmnasfpn.analysis.complexity import count_complexity
from mmnasfpn.benchmark import seeds as module
from mmnasfpn.benchmark.costs import measure_costs
from mmnasfpn.benchmark.seeds import (
    Cost,
    Run,
    RunError,
    draw_seeds,
    draw_tradeoff,
    paired_difference,
    read_seeds,
    to_markdown,
    train_seeds,
    write_children,
)
from mmnasfpn.engine.config import load_config
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search import SearchSpace
from tests.conftest import DEMO_CONFIG, REPO, run_python, run_tool_here

# Stands in for tools/train.py: seed 3 fails, seed 2 detects nothing in the end, others get an AP.
TRAIN = '''
import json, pathlib, sys
options = sys.argv.index('--cfg-options')
config, work_dir = sys.argv[1], pathlib.Path(sys.argv[3])
resume = ['--resume'] if (work_dir / 'last_checkpoint').exists() else []
assert sys.argv[2:options] == ['--work-dir', str(work_dir), *resume], sys.argv
seed = sys.argv[options + 1].partition('=')[2]
with open(work_dir.parent.parent / 'calls', 'a') as file:
    file.write(f'{config} {seed} {sys.argv[options + 2:]} {resume}\\n')
if seed == '3':
    (work_dir / 'last_checkpoint').touch()
    sys.exit('RuntimeError: the worker died')
log = work_dir / '1' / 'vis_data' / 'scalars.json'
log.parent.mkdir(parents=True)
entries = [dict(loss=2.0, epoch=1, step=1), {'coco/bbox_mAP': 0.9, 'step': 1},
           dict(loss=1.0, epoch=2, step=2)]
if seed == '2':
    print('ERROR - The testing results of the whole dataset is empty.')
elif seed == '4':
    entries[-1]['voc/mAP'] = 0.5
elif seed == '6':  # in steps; the last of them is not in the log
    entries = [dict(loss=2.0, step=20), {'coco/bbox_mAP': 0.9, 'step': 20}, dict(loss=1.0, step=40),
               {'coco/bbox_mAP': 0.6, 'step': 45}]
else:
    entries.append({'coco/bbox_mAP': 0.5 + 0.01 * int(seed), 'step': 2})
log.write_text('\\n'.join(map(json.dumps, entries)))
'''


@pytest.fixture
def train(tmp_path, monkeypatch):
    script = tmp_path / 'train.py'
    script.write_text(TRAIN)
    monkeypatch.setattr(module, '_TRAIN', script)
    return tmp_path / 'work', lambda: sorted((tmp_path / 'work/calls').read_text().splitlines())


def test_each_config_is_trained_with_each_seed_and_what_is_finished_is_kept(train):
    work_dir, calls = train
    runs = list(train_seeds(['a/x.py', 'b/y.py'], [0, 2, 3], work_dir, 2, ['k=1']))
    assert calls() == sorted(f"{config} {seed} ['k=1'] []" for config in ('a/x.py', 'b/y.py')
                             for seed in (0, 2, 3))
    found = {(run.config, run.seed): run for run in runs}
    assert found['x', 0] == Run('x', 0, 0.5)
    assert found['x', 2] == Run('x', 2, 0.0, 'detects nothing')  # after the last epoch
    assert found['y', 3] == Run('y', 3, None, 'RuntimeError: the worker died')
    (other,) = train_seeds(['a/x.py'], [4], work_dir, 1, ['k=1'])
    assert other.ap is None and 'no coco/bbox_mAP of its end, 2' in other.reason
    again = list(train_seeds(['a/x.py'], [0, 2, 3], work_dir, 1, ['k=1']))
    assert {run.seed: run for run in again} == {seed: found['x', seed] for seed in (0, 2, 3)}
    assert len(calls()) == 8  # only what had failed, from where it had come to
    assert "a/x.py 3 ['k=1'] ['--resume']" in calls()


def test_the_seconds_of_a_training_count_those_before_it_was_resumed(train):
    work_dir, _ = train
    (work_dir / 'x/seed_0').mkdir(parents=True)
    (work_dir / 'x/seed_0/seconds').write_text('100')
    run, = train_seeds(['a/x.py'], [0], work_dir, 1)
    assert 100 < run.seconds < 110
    assert read_seeds(['a/x.py'], [0], work_dir)[0].seconds == run.seconds


def test_a_genotype_of_a_name_that_another_one_was_trained_by_is_refused(tmp_path):
    first, other = (SearchSpace().sample(random.Random(seed)) for seed in range(2))
    write_children('base.py', dict(mine=first), tmp_path)
    write_children('base.py', dict(mine=first), tmp_path)
    with pytest.raises(ValueError, match=r'mine.json is of another genotype than mine is now'):
        write_children('base.py', dict(mine=other), tmp_path)


def test_trainings_without_epochs_have_the_ap_after_their_last_step(train):
    assert list(train_seeds(['a/x.py'], [6], train[0], 1)) == [Run('x', 6, 0.6)]


def test_finished_runs_are_read_without_training(train):
    work_dir, calls = train
    list(train_seeds(['a/x.py'], [0, 3], work_dir, 1))
    assert read_seeds(['a/x.py', 'b/y.py'], [0, 1, 3], work_dir) == [Run('x', 0, 0.5)]
    assert len(calls()) == 2
    with pytest.raises(ValueError, match=r"seed_0 was trained with \[\], but .* \['k=1'\]"):
        read_seeds(['a/x.py'], [0], work_dir, ['k=1'])
    with pytest.raises(RunError, match='no finished run of these .* leave out --no-train'):
        read_seeds(['b/y.py'], [7], work_dir)


def test_other_options_are_not_mixed_with_what_is_there(train):
    work_dir, _ = train
    list(train_seeds(['a/x.py'], [0], work_dir, 1, ['k=1']))
    with pytest.raises(ValueError, match=r"seed_0 was trained with \['k=1'\].*\['k=2'\].*--work-dir"):
        list(train_seeds(['a/x.py'], [0], work_dir, 1, ['k=2']))


def test_the_table_gives_the_median_and_the_farthest_from_it():
    runs = [Run('x', 0, 0.5), Run('x', 1, 0.56), Run('x', 2, 0.52), Run('y', 0, None, 'died'),
            Run('y', 1, 0.25)]
    assert to_markdown(runs).splitlines() == [
        '| config | seed 0 | seed 1 | seed 2 | median | farthest from it |',
        '| --- | ---: | ---: | ---: | ---: | ---: |',
        '| x | 0.500 | 0.560 | 0.520 | 0.520 | 0.040 |',
        '| y | failed | 0.250 |  | 0.250 |  |',
    ]


def test_configs_are_compared_seed_by_seed_with_the_interval_of_student():
    runs = [*(Run('x', seed, ap) for seed, ap in enumerate((0.5, 0.4, 0.6))),
            *(Run('y', seed, ap) for seed, ap in enumerate((0.51, 0.43, 0.62))), Run('y', 3, 0.9),
            Run('z', 1, 0.3), Run('w', 7, 0.3)]
    # Differences 0.01, 0.03, 0.02: their deviation is 0.01, and Student's quantile for 2 is 4.303.
    assert paired_difference(runs, 'y', 'x') == pytest.approx((0.02, 4.3027 * 0.01 / 3 ** 0.5), rel=1e-4)
    assert paired_difference(runs, 'z', 'x') == (pytest.approx(-0.1), float('inf'))
    assert paired_difference(runs, 'w', 'x') is None
    cells = [line.split('|')[-2].strip() for line in to_markdown(runs, baseline='x').splitlines()]
    assert cells == ['minus x', '---:', '', '+0.020 ± 0.025', '-0.100', '']


def test_costs_stand_beside_the_runs(tiny_config):
    name = Path(tiny_config).stem
    options = {'model.neck.stack_times': 1}
    costs = measure_costs([tiny_config], (100, 128), rounds=1, cfg_options=options)
    cfg = load_config(tiny_config, cfg_options=options)
    cfg.model.data_preprocessor.pad_size_divisor = 64
    counted = count_complexity(cfg, (128, 128))  # what it is padded to
    assert (costs[name].params, costs[name].flops) == (counted.params, counted.flops)
    assert costs[name].milliseconds > 0
    head, _, row = to_markdown([Run(name, 0, 0.5)], costs).splitlines()
    assert head.startswith('| config | params, M | FLOPs, B | latency, ms | seed 0 |')
    assert row.startswith(f'| {name} | {counted.params / 1e6:.2f} | {counted.flops / 1e9:.2f} | ')


def test_the_picture_is_drawn(tmp_path):
    draw_seeds([Run('x', 0, 0.5), Run('x', 1, 0.56), Run('y', 0, None)], tmp_path / 's.png')
    assert (tmp_path / 's.png').stat().st_size > 5000


def test_the_tradeoff_is_drawn_best_first_with_the_pareto_front(tmp_path, monkeypatch):
    costs = {name: Cost(1, 1, milliseconds) for name, milliseconds in (('a', 9), ('b', 5), ('c', 7))}
    runs = [Run('a', 0, 0.7), Run('a', 1, 0.5), Run('b', 0, 0.4), Run('c', 0, 0.3), Run('c', 1, None),
            Run('d', 0, None)]
    figures = []
    monkeypatch.setattr(Figure, 'savefig', lambda figure, *_, **__: figures.append(figure))
    draw_tradeoff(runs, costs, tmp_path / 't.png')
    (axes,) = figures[0].axes
    assert axes.get_legend_handles_labels()[1] == ['Pareto front', 'a', 'b', 'c']
    assert axes.lines[0].get_xydata().tolist() == [[5, 0.4], [9, 0.6]]


def test_the_tool_trains_for_real_and_writes_all(tiny_config, tmp_path, tool_env):
    readme = tmp_path / 'README.md'
    readme.write_text('before\n<!-- begin of the tiny ones -->\n<!-- end of the tiny ones -->\nafter\n')
    run_python(REPO / 'tools/compare_seeds.py', tiny_config, '--seeds', 5, '--work-dir', tmp_path / 'w',
               '--json', tmp_path / 's.json', '--markdown', readme, '--part', 'tiny ones',
               '--picture', tmp_path / 's.png', '--cfg-options', 'train_cfg.max_epochs=1',
               'train_cfg.val_interval=1', env=tool_env)
    (run,) = json.loads((tmp_path / 's.json').read_text())
    assert (run['config'], run['seed']) == ('tiny', 5) and 0 <= run['ap'] <= 1
    assert '| tiny | ' in readme.read_text() and readme.read_text().startswith('before\n')
    assert (tmp_path / 's.png').is_file()
    assert "randomness = dict(seed=5)" in (tmp_path / 'w/tiny/seed_5/tiny.py').read_text()


def test_costs_are_those_of_the_overridden_config(train, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr('mmnasfpn.benchmark.costs.measure', lambda calls, *_: {
        name: SimpleNamespace(median=0.001) for name in calls})
    for work_dir, depth in ((tmp_path / 'a', 1), (tmp_path / 'b', 2)):
        run_tool_here(monkeypatch, 'compare_seeds', tiny_config, '--seeds', 0, '--work-dir', work_dir,
                      '--costs', 64, 64, '--json', work_dir / 's.json', '--cfg-options',
                      f'model.neck.stack_times={depth}')
    less, more = (json.loads((tmp_path / name / 's.json').read_text())[0]['params'] for name in 'ab')
    assert less < more


def test_the_tool_trains_a_config_with_genotypes(train, tiny_config, tmp_path, monkeypatch):
    work_dir, calls = train
    (tmp_path / 'best.json').write_text(get_genotype('nasfpn').to_json())
    readme = tmp_path / 'README.md'
    readme.write_text('<!-- begin of the genotypes -->\n<!-- end of the genotypes -->\n')
    run_tool_here(monkeypatch, 'compare_seeds', tiny_config, '--genotypes', tmp_path / 'best.json',
                  'fpn', '--random-genotypes', 2, '--seeds', 0, 1, '--work-dir', work_dir, '--json',
                  tmp_path / 's.json', '--markdown', readme)
    assert '| random_1 | ' in readme.read_text()
    names = ['best', 'fpn', 'random_0', 'random_1']
    runs = json.loads((tmp_path / 's.json').read_text())
    assert [(run['config'], run['seed']) for run in runs] == [(n, s) for n in names for s in (0, 1)]
    trained = [get_genotype(Config.fromfile(work_dir / f'configs/{name}.py').model.neck.genotype)
               for name in names]
    assert trained[:2] == [get_genotype('nasfpn'), get_genotype('fpn')]
    assert trained[2] != trained[3] and all(genotype in SearchSpace() for genotype in trained[2:])
    assert len(calls()) == 8


def test_configs_after_the_first_keep_their_own_genotypes(train, tiny_config, tmp_path, monkeypatch,
                                                          capsys):
    work_dir, calls = train
    other = tmp_path / 'other.py'
    other.write_text(f'_base_ = [{str(tiny_config)!r}]')
    arguments = ['compare_seeds', tiny_config, other, '--seeds', 0, '--work-dir', work_dir]
    run_tool_here(monkeypatch, *arguments, '--genotypes', 'fpn', '--json', tmp_path / 's.json')
    assert [run['config'] for run in json.loads((tmp_path / 's.json').read_text())] == ['fpn', 'other']
    assert len(calls()) == 2
    arguments[2] = other.rename(tmp_path / 'fpn.py')
    with pytest.raises(SystemExit):
        run_tool_here(monkeypatch, *arguments, '--genotypes', 'fpn')
    assert 'configs and --genotypes' in capsys.readouterr().err and len(calls()) == 2


@pytest.mark.parametrize(('arguments', 'words'), [
    ([__file__, '--tradeoff', 'x.png'], '--tradeoff needs the size of an image'),
    ([__file__, '--genotypes', 'fpn', 'a/fpn.json'], 'a/fpn.json'),
    ([__file__, '--genotypes', 'fpm'], "genotype is 'fpm'"),
    (['a/x.py', 'b/x.py'], 'same name'),
    (['nosuch.py'], 'no file nosuch.py'),
    ([__file__, '--baseline', 'a/x.py'], '--baseline is x'),
    ([DEMO_CONFIG.name, '--genotypes', 'fpm'], "genotype is 'fpm'"),  # one of ours, found by its name
    ([__file__, '--jobs', '0'], 'argument --jobs'),
    ([__file__, '--cfg-options', 'a.b'], "'a.b' must be key=value"),
    ([__file__, '--seeds', '1', '1'], 'different numbers'),
    ([__file__, '--markdown', str(REPO / 'README.md')], 'lacks the lines'),
])
def test_wrong_arguments_are_named_before_anything_is_trained(arguments, words, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_tool_here(monkeypatch, 'compare_seeds', *arguments)
    assert words in capsys.readouterr().err
