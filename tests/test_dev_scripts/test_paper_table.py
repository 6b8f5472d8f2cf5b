"""The paper's table: each model is the paper's by parameters and FLOPs; the tables are not stale."""
import argparse
import json
import re
from functools import cache

import pytest
import yaml
from model_tables import MODELS_PART, amoebanet_to_markdown, to_markdown, write_metafile
from paper_rows import (
    FIGURES,
    TABLE_1,
    TEXT_FLOPS,
    all_rows,
    count_row,
    find_rows,
    fit_amoebanet,
    load,
    read_table_1,
)
from tradeoff import FIGURE_8, FIGURE_9, draw_figure_8, draw_figure_9, figure_rows

from mmnasfpn._markdown import write_markdown
from mmnasfpn.engine.cli import markdown_file
from tests.conftest import REPO, run_python, run_tool_here

CONFIGS = REPO / 'configs/nasfpn'
PAPER = read_table_1()
OURS = [row for row, paper in PAPER.items() if 'FPN' in paper['neck']]
# Mask R-CNN X-152 runs with real weights, for half a minute: its line is not counted again here.
COUNTED = [row for row in all_rows() if row != 'maskrcnn-x152']
count = cache(count_row)


def test_the_table_has_the_16_rows_of_fpn_and_nasfpn_4_of_them_lite():
    assert len(OURS) == 16
    assert len([row for row in OURS if 'lite' in row]) == 4
    assert set(TABLE_1) == set(PAPER)


@pytest.mark.parametrize('row', OURS)
def test_parameters_and_flops_are_the_papers(row):
    counted, paper = count(row), PAPER[row]
    params_bound, flops_bound = ((0.10, 0.10) if 'lite' in row
                                 else (0.10, 0.01) if 'amoebanet' in row else (0.01, 0.01))
    assert counted.params_m == pytest.approx(float(paper['params_m']), rel=params_bound)
    assert counted.flops_b == pytest.approx(float(paper['flops_b']), rel=flops_bound)
    assert counted.params_diff_percent == pytest.approx(
        100 * (counted.params_m - float(paper['params_m'])) / float(paper['params_m']))


@pytest.mark.parametrize(('config', 'billion', 'bound'), [
    ('retinanet_mobilenetv2_nasfpn-3x256_crop640-50e_coco', 160, 0.01),
    ('retinanet_amoebanet-d_nasfpn-5x256_crop640-50e_coco', 390, 0.02)])
def test_flops_are_those_of_the_text(config, billion, bound):
    assert TEXT_FLOPS[config] == billion
    assert count(config).flops_b == pytest.approx(billion, rel=bound)


@pytest.mark.parametrize('row', OURS)
def test_the_config_of_a_row_is_the_model_that_the_row_names(row):
    paper, cfg = PAPER[row], load(TABLE_1[row].config)
    neck, backbone = cfg.model.neck, cfg.model.backbone
    assert cfg.image_size == (int(paper['image_size']),) * 2
    assert neck.out_channels == int(paper['dim'])
    assert neck.type == ('mmnasfpn.NASFPN' if paper['neck'].startswith('NAS') else 'mmnasfpn.FPN')
    assert neck.get('stack_times', 1) == int(paper['stacks'])
    assert neck.get('separable', False) == paper['neck'].endswith('Lite')
    assert (neck.get('dropblock_cfg') is not None) == (paper['dropblock'] == 'yes')
    assert (backbone.type, backbone.get('depth')) == {
        'R-50': ('ResNet', 50), 'R-101': ('ResNet', 101), 'AmoebaNet-D': ('mmnasfpn.AmoebaNet', None),
        'MobileNetV2': ('mmnasfpn.MobileNetV2', None)}[paper['backbone']]


def test_comparators_of_yolov3_have_the_flops_that_the_paper_repeats():
    for row in ('yolov3-320', 'yolov3-608'):  # its authors count 80 classes
        assert count(row).flops_b_80 == pytest.approx(float(PAPER[row]['flops_b']), rel=0.001)


def test_absent_models_say_so_and_have_no_figures():
    absent = [row for row, source in TABLE_1.items() if source.config is None]
    assert absent == ['ssdlite-mnasnet-320', 'ssdlite-mnasnet92-320', 'refinedet-r101']
    for row in absent:
        counted = count(row)
        assert counted.note and counted.params_m is None and counted.flops_b is None
        assert counted.paper_test_dev_ap == float(PAPER[row]['test_dev_ap'])


def test_models_that_are_not_quite_the_papers_say_so():
    for row in OURS:
        expected = 'search of ours' if 'nasfpnlite' in row else 'size' if 'amoebanet' in row else ''
        assert expected in count(row).note and bool(expected) == bool(count(row).note)


def test_every_coco_config_is_in_the_table_or_the_figures():
    coco = {path.stem for path in CONFIGS.glob('retinanet*_coco.py')
            if not re.search('-mmdet_|_1xb|-anytime_', path.stem)}
    assert coco == {source.config for row, source in TABLE_1.items() if row in OURS} | set(FIGURES)


def test_the_readme_is_what_the_tool_writes():
    text = (CONFIGS / 'README.md').read_text()
    written = [line for line in to_markdown([count(row) for row in COUNTED]).splitlines() if line]
    shown = text.partition('<!-- begin of the counted models -->')[2].partition('<!-- end of')[0]
    shown = [line for line in shown.splitlines() if line and not line.startswith('| maskrcnn-x152')]
    assert shown == written, 'run tools/paper_table.py as configs/nasfpn/README.md says'


def test_the_metafile_is_what_the_tool_writes(tmp_path):
    path = CONFIGS / 'metafile.yml'
    copy = tmp_path / 'metafile.yml'
    copy.write_text(path.read_text())
    write_metafile(copy, [count(row) for row in COUNTED])
    assert copy.read_text() == path.read_text(), 'run tools/paper_table.py'
    models = {model['Name']: model for model in yaml.safe_load(path.read_text())['Models']}
    assert models['retinanet_r50_nasfpn-7x256_crop640-50e_coco']['Metadata'] == {
        'Training Data': 'COCO', 'Image Size': '640', 'Parameters in Millions': 59.84,
        'FLOPs in Billions': 276.63}
    assert all('FLOPs in Billions' in models[name]['Metadata']
               for name in [*(TABLE_1[row].config for row in OURS), *FIGURES])


def test_markdown_goes_between_the_marks_only(tmp_path):
    markdown = to_markdown([count('fpnlite-mbv2-64-320')])
    new = tmp_path / 'folder/new.md'
    write_markdown(new, markdown, MODELS_PART)
    assert new.read_text() == markdown
    marked = tmp_path / 'marked.md'
    marked.write_text('a\n<!-- begin of the counted models -->\nold\n'
                      '<!-- end of the counted models -->\nz\n')
    write_markdown(marked, markdown, MODELS_PART)
    write_markdown(marked, markdown, MODELS_PART)
    text = marked.read_text()
    assert text.startswith('a\n<!--') and text.endswith('-->\nz\n')
    assert text.count(markdown) == 1 and 'old' not in text
    other = tmp_path / 'other.md'
    other.write_text('mine')
    with pytest.raises(ValueError, match='lacks the lines'):
        write_markdown(other, markdown, MODELS_PART)
    assert other.read_text() == 'mine'
    assert markdown_file(MODELS_PART)(str(marked)) == marked
    with pytest.raises(argparse.ArgumentTypeError, match='lacks the lines'):
        markdown_file(MODELS_PART)(str(other))


def test_the_tool_writes_json_with_the_documented_keys(tool_env, tmp_path):
    out = tmp_path / 'folder/t.json'
    run_python('tools/paper_table.py', '--rows', 'fpn-r50-256-640', 'refinedet-r101', '--json', out,
               env=tool_env)
    rows = {row['row']: row for row in json.loads(out.read_text())['rows']}
    assert list(rows) == ['fpn-r50-256-640', 'refinedet-r101']
    row = rows['fpn-r50-256-640']
    assert row['config'] == 'retinanet_r50_fpn-256_crop640-50e_coco'
    assert (round(row['params_m'], 2), round(row['flops_b'], 1)) == (34.07, 193.4)
    assert row['params_m'] - row['params_m_80'] == pytest.approx(90 * (9 * 256 + 1) / 1e6)
    assert (row['paper_params_m'], row['paper_flops_b']) == (34.0, 193.6)


def test_rows_are_found_by_id_by_config_and_by_all():
    config = 'retinanet_r50_nasfpn-7x256_crop640-50e_coco'
    assert find_rows([config, 'nasfpn-r50-7x256-640']) == ['nasfpn-r50-7x256-640']
    assert find_rows(['yolov3-320', 'all']) == all_rows()
    with pytest.raises(ValueError, match="there is no row 'nosuch'; there are: yolov3-320"):
        find_rows(['nosuch'])


@pytest.mark.parametrize(('arguments', 'words'), [
    (['--rows', 'nosuch'], "there is no row 'nosuch'"),
    (['--markdown', 'README.md'], 'lacks the lines'),
    (['--amoebanet-sizes', '--markdown', 'README.md'], 'lacks the lines.*sizes of AmoebaNet-D'),
    (['--markdown', 'configs/nasfpn/README.md', '--rows', 'yolov3-320'], 'other rows would be lost'),
    (['--metafile', 'nosuch.yml'], 'there is no file nosuch.yml'),
    (['--json', 'docs'], 'docs must end in .json'),
])
def test_wrong_arguments_of_the_tool_are_named_before_anything_is_counted(
        arguments, words, monkeypatch, capsys):
    monkeypatch.chdir(REPO)
    with pytest.raises(SystemExit):
        run_tool_here(monkeypatch, 'paper_table', *arguments)
    assert re.search(words, capsys.readouterr().err, re.DOTALL)


@pytest.mark.parametrize('text', [None, '', '{}', '[]', '{"rows": [{"row": 1}]}'])
def test_wrong_counts_of_the_plot_are_named(text, tmp_path, monkeypatch, capsys):
    path = tmp_path / 'counts.json'
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit):
        run_tool_here(monkeypatch, 'plot_tradeoff', '--counts', path)
    assert 'counts.json is not what paper_table.py --json writes' in capsys.readouterr().err


def test_the_chosen_amoebanet_fits_within_the_bounds_where_a_deeper_one_does_not():
    rows = [count(row) for row in ('fpn-amoebanet-256-1280', 'nasfpn-amoebanet-7x384-1280')]
    assert load(rows[0].config).model.backbone.num_cells == 15
    (deeper,) = fit_amoebanet([(18, 240)])
    assert all(abs(row.flops_diff_percent) < 1 and abs(row.params_diff_percent) < 10 for row in rows)
    assert max(abs(percent) for _, percent in deeper.figures[1::2]) > 1
    assert max(abs(percent) for _, percent in deeper.figures[::2]) > 10
    line = amoebanet_to_markdown([deeper]).splitlines()[-1]
    assert line in (CONFIGS / 'README.md').read_text(), 'run the tool with --amoebanet-sizes'


def test_figures_8_and_9_are_drawn_from_the_counts(tmp_path):
    rows = {row: count(row) for row in figure_rows() if row in COUNTED}
    rows['maskrcnn-x152'] = count('refinedet-r101')  # any row without counts
    draw_figure_8(rows, tmp_path / 'new/8.png')
    draw_figure_9(rows, tmp_path / 'new/9.png')
    assert all((tmp_path / f'new/{n}.png').stat().st_size > 20_000 for n in (8, 9))
    assert len(FIGURE_8) == 3 and len(FIGURE_9) == 2


def test_the_stacks_written_in_figure_8_are_those_of_the_configs():
    for panel in FIGURE_8.values():
        for series in panel:
            for row, text in series.points.items():
                config = TABLE_1[row].config if row in TABLE_1 else row
                dimension = series.name.split('@ ')[1]
                assert f'-{text}x{dimension}_crop640' in config
