"""Samplers against each other."""
import json

import pytest
from mmengine.config import Config
from sampler_comparison import candidates, compare, draw_comparison, to_markdown

from tests.conftest import run_python
from tests.test_search.conftest import no_graphs  # noqa: F401
from tests.test_search.searches import MATCH

pytestmark = pytest.mark.usefixtures('no_graphs')


def test_every_sampler_and_variant_searches_with_every_seed(tmp_path):
    cfg = Config.fromfile(MATCH)
    found = candidates(cfg, ['random', 'controller'], ['lr=0.01', 'batch_size=4,lr=0.02'])
    assert [candidate.name for candidate in found] == [
        'random', 'controller', 'controller, lr=0.01', 'controller, batch_size=4,lr=0.02']
    assert [candidate.cfg.get('controller') for candidate in found[1:]] == [
        None, dict(lr=0.01), dict(batch_size=4, lr=0.02)]
    runs = list(compare(found[::2], [0, 1], 12, tmp_path))
    assert [(run['name'], run['seed']) for run in runs] == [
        ('random', 0), ('controller, lr=0.01', 0), ('random', 1), ('controller, lr=0.01', 1)]
    assert {run['completed'] for run in runs} == {12}
    again = list(compare(found[::2], [0, 1], 12, tmp_path))
    assert [run['best'] for run in again] == [run['best'] for run in runs]
    draw_comparison(runs, tmp_path / 'picture.png')
    assert (tmp_path / 'picture.png').stat().st_size > 5000


def test_the_table_has_a_row_for_each_candidate():
    def run(name, seed, mean):
        return dict(name=name, seed=seed, mean_reward_last_200=mean, best=dict(reward=mean + 0.1),
                    repeated_last_500=0.5, seconds=6.0, trials=100)

    lines = to_markdown([run('a', 0, 0.2), run('a', 1, 0.4), run('b', 1, 0.5)]).splitlines()
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    assert cells[0][:4] == ['sampler', 'seed 0', 'seed 1', 'mean']
    assert cells[2] == ['a', '0.200', '0.400', '0.300', '0.400', '50%', '60']
    assert cells[3] == ['b', '', '0.500', '0.500', '0.600', '50%', '60']


@pytest.mark.parametrize(('variant', 'words'), [
    ('lr', 'must be NAME=VALUE'), ('lr=fast', 'must be NAME=VALUE'), ('batch_size=1', 'batch_size is 1'),
    ('rate=1', "controller: .*'rate'")])
def test_a_variant_that_is_none_is_named(variant, words):
    with pytest.raises(ValueError, match=words):
        candidates(Config.fromfile(MATCH), [], [variant])


def test_the_tool_writes_table_json_and_picture(tmp_path, tool_env):
    (tmp_path / 'page.md').write_text('<!-- begin of the samplers -->\n<!-- end of the samplers -->\n')
    run_python('.dev_scripts/compare_samplers.py', MATCH, '--samplers', 'random', '--seeds', 0,
               '--trials', 5, '--work-dir', tmp_path / 'w', '--json', tmp_path / 'runs.json',
               '--markdown', tmp_path / 'page.md', '--picture', tmp_path / 'picture.png', env=tool_env)
    assert '| random | 0.' in (tmp_path / 'page.md').read_text()
    assert json.loads((tmp_path / 'runs.json').read_text())[0]['completed'] == 5
    assert (tmp_path / 'picture.png').is_file()
