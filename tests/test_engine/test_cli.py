"""Command lines: how errors end the tools, what is refused before the work, and options of configs."""
import argparse
import errno
import re
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import MODELS

from mmnasfpn._checks import check_whole_number
from mmnasfpn._files import write_json
from mmnasfpn.converters import ConversionError
from mmnasfpn.engine.cli import (
    folder_of_run,
    load_config,
    needs_extra,
    output_file,
    output_folder,
    run_tool,
)
from mmnasfpn.engine.config import CfgOptions, find_config
from mmnasfpn.engine.user_errors import concerns_one_process, config_errors, is_users, message_of
from mmnasfpn.errors import ConfigError, UsageError
from mmnasfpn.genotypes import get_genotype
from mmnasfpn.search.run import SearchFailed
from tests.conftest import REPO, run_tool_here

NECK = dict(type='mmnasfpn.NASFPN', in_channels=[8, 8, 8], out_channels=8, num_outs=5, stack_times=1)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return a function that runs a tool in this process, in an empty folder, and returns its status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')  # which tools set
    for kind in (MMLogger, DetLocalVisualizer):  # of another run in this process
        monkeypatch.setattr(kind, '_instance_dict', OrderedDict())

    def run_one(tool, *arguments):
        try:
            run_tool_here(monkeypatch, tool, *arguments)
        except SystemExit as end:
            return end.code
        return 0

    return run_one


def raised_by(function, *args, **kwargs):
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        function(*args, **kwargs)
    return caught.value


def raise_(error):
    raise error


def within(file, text, **names):
    """Return the error that code raises which stands in another file."""
    return raised_by(exec, compile(text, file, 'exec'), names)


@pytest.mark.parametrize(('tool', 'arguments', 'status', 'words'), [
    ('train', ['none.py'], 1, 'the config none.py cannot be read'),
    ('train', ['TINY', '--cfg-options', 'model.neck'], 2, "'model.neck' must be key=value"),
    ('train', ['TINY', '--cfg-options', 'model=3', 'model.a=3'], 2, '--cfg-options do not fit'),
    ('train', ['TINY', '--cfg-options', 'model.neck.type=Nope'], 1, 'Nope is not in the'),
    ('train', ['TINY', '--cfg-options', 'model.neck.stacks=3'], 1, "keyword argument 'stacks'"),
    ('train', ['TINY', '--cfg-options', 'model.neck.stack_times=0'], 1, 'stack_times is 0'),
    ('train', ['TINY', '--work-dir', 'TINY'], 2, 'is a file: name a folder'),
    ('train', ['TINY', '--amp', '--dtype', 'bf16'], 2, 'leave one out'),
    ('train', ['TINY', '--resume', 'FOLDER.json'], 2, "--resume is 'FOLDER.json', which is a folder"),
    ('train', ['TINY', '--resume', 'none.pth'], 2, "--resume is 'none.pth', but there is no such file"),
    ('train', ['EMPTY.py'], 1, 'model is missing in the config'),
    ('test', ['TINY', 'FOLDER.json'], 1, "is 'FOLDER.json', but that is a folder"),
    ('test', ['TINY', 'none.pth'], 1, "is 'none.pth', but there is no such file"),
    ('test', ['none.py', 'x.pth', '--json', 'm.txt'], 2, 'm.txt must end in .json'),
    ('test', ['none.py', 'x.pth', '--json', 'TINY/m.json'], 2, 'cannot be written'),
    ('test', ['none.py', 'x.pth', '--out', 'p.json'], 2, 'must end in .pkl or .pickle'),
    ('test', ['none.py', 'x.pth', '--show-dir', 'TINY'], 2, 'is a file: name a folder'),
    ('test', ['TINY', 'TINY', '--backend', 'onnx', '--tta'], 2, 'leave them out'),
    ('anytime', ['TINY', 'none.pth'], 1, 'mmnasfpn.AnytimeDetector'),
    ('anytime', ['TINY', 'x.pth', '--timed', 0], 2, "'0' must be a whole number of at least 1"),
    ('analyze', ['TINY', '--out', 'o'], 2, 'give either a checkpoint or --predictions'),
    ('analyze', ['TINY', 'none.pth', '--out', 'TINY'], 2, 'is a file: name a folder'),
    ('analyze', ['TINY', 'none.pth', '--out', 'o'], 1, "is 'none.pth', but there is no such file"),
    ('analyze', ['TINY', '--predictions', 'p.pkl', '--out', 'o'], 1, 'p.pkl does not exist'),
    ('analyze', ['TINY', 'x.pth', '--out', 'o', '--score-thr', 'nan'], 2, 'a number from 0 to 1'),
    ('calibrate', ['TINY', '--json', 'FOLDER.json'], 2, 'is a folder: name a file'),
    ('slim', ['none.py', 'x.pth', 'EXISTS.pth', '--exit', 1], 2, 'exists: name another file'),
    ('slim', ['TINY', 'x.pth', 'o.pth', '--exit', 1, '--config-out', 'o.txt'], 2, 'must end in .py'),
    ('export_onnx', ['TINY', 'none.pth', 'm.onnx'], 1, 'there is no file none.pth'),
    ('export_onnx', ['TINY', 'none.pth', 'm.onnx', '--exits'], 2, 'leave out --exits'),
    ('convert_checkpoint', ['none.pth', 'out.pth', '--from', 'mmdet'], 1, 'there is no file none.pth'),
    ('convert_checkpoint', ['none.pth', 'EXISTS.pth', '--from', 'mmdet'], 2, 'exists: name another'),
    ('convert_checkpoint', ['none.pth', 'o.pth', '--from', 'mmdet', '--eps', 1], 2, '--from tf only'),
    ('convert_checkpoint', ['none.npz', 'o.pth', '--from', 'tf', '--eps', 2], 1, 'no file none.npz'),
    ('benchmark', ['TINY', '--ways', 'fast'], 2, "there is no 'fast'"),
    ('benchmark', ['TINY', '--markdown', 'page.txt'], 2, 'must end in .md'),
    ('benchmark_stacks', ['TINY', '--way', 'onnx', '--mode', 'train'], 2, '--mode train'),
    ('search', ['TINY', '--work-dir', 'w', '--cfg-options', 'search_space=dict'], 1, 'search_space'),
    ('search', ['TINY', '--work-dir', 'TINY'], 2, 'is a file: name a folder'),
    ('search', ['TINY', '--work-dir', 'w', '--seed', 2**64], 2, 'and at most 18446744073709551615'),
    ('compare_samplers', ['TINY', '--seeds', 0, 2**64], 2, 'and at most 18446744073709551615'),
    ('compare_seeds', ['TINY', '--seeds', 2**32], 2, 'and at most 4294967295'),
    ('compare_samplers', ['TINY', '--variants', 'lr'], 1, 'must be NAME=VALUE'),
    ('compare_pruners', ['--factors', 1], 2, 'at least 2'),
    ('compare_seeds', ['TINY', '--picture', 'p.jpg'], 2, 'must end in .png'),
    ('demo', ['--json', 'FOLDER.json'], 2, 'is a folder: name a file'),
    ('paper_table', ['--json', 'TINY/t.json'], 2, 'cannot be written'),
    ('plot_tradeoff', ['--out', 'TINY'], 2, 'is a file: name a folder'),
    ('draw_genotype', ['fnp', '--out', 'o.png'], 2, 'or one of the names fpn, nasfpn, nasfpn_3_levels'),
    ('draw_genotype', ['none.json', '--out', 'o.png'], 2, 'none.json cannot be read'),
    ('draw_genotype', ['fpn', '--out', 'o.bmp'], 2, 'must end in .png or .svg or .pdf'),
    ('make_shapes', ['FOLDER.json', '--num-train', 1], 1, 'holds something else'),
    ('make_shapes', ['TINY'], 2, 'is a file: name a folder'),
    ('split_coco', ['none.json', '--num-held-out', 1], 1, 'no such file'),
    ('split_coco', ['none.json', '--train', 'FOLDER.json'], 2, 'is a folder: name a file'),
])
def test_errors_of_the_user_end_a_tool_with_one_message(
        run, tiny_config, capsys, tmp_path, tool, arguments, status, words):
    (tmp_path / 'FOLDER.json').mkdir()
    (tmp_path / 'FOLDER.json/a').touch()
    (tmp_path / 'EXISTS.pth').touch()
    (tmp_path / 'EMPTY.py').touch()
    found = run(tool, *(str(argument).replace('TINY', str(tiny_config)) for argument in arguments))
    stderr = capsys.readouterr().err
    assert found == status
    assert 'Traceback' not in stderr
    message = stderr[stderr.index(f'{tool}.py: error: '):]
    assert re.search(re.escape(words).replace(r'\ ', r'\s+'), message)
    assert stderr.count('error: ') == 1


@pytest.mark.parametrize('arguments', [
    *([path, '--help'] for path in sorted(REPO.glob('tools/*.py'))),
    ['-c', "import mmnasfpn.engine.cli, sys; sys.exit(bool({'torch', 'mmdet'} & set(sys.modules)))"]],
    ids=lambda arguments: Path(arguments[0]).stem)
def test_help_comes_without_warnings_and_command_lines_are_read_without_pytorch(arguments, tool_env):
    done = subprocess.run([sys.executable, *arguments], env=tool_env, capture_output=True, check=True)
    assert not done.stderr


@pytest.mark.parametrize(('options', 'words'), [
    (['val_dataloader.persistent_workers=True'], 'val_dataloader: persistent_workers option needs'),
    (['train_dataloader.batch_size=0'], 'train_dataloader: batch_size should be a positive'),
    (['optim_wrapper.optimizer.lr=abc'], "optim_wrapper: AdamW: TypeError: '<=' not supported"),
    (['param_scheduler.0.begin=5', 'param_scheduler.0.end=3'], 'param_scheduler: LinearLR: end should'),
    (['randomness.seed=-1'], 'randomness: Seed must be between'),
    (['model.backbone.depth=19'], 'model: ResNet: KeyError: invalid depth 19'),
    (['log_level=FOO'], 'log_level: KeyError: FOO'),
    (['val_evaluator.metric=foo'], "val_evaluator: CocoMetric: KeyError: metric should be one of")])
def test_what_cannot_be_built_from_a_config_is_told_by_its_part(
        run, tiny_config, capsys, options, words):
    assert run('train', tiny_config, '--cfg-options', *options) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f'train.py: error: the config does not work: {words}')


BUILD = 'def build_model(): fail()\ndef run(): fail()\n'


def raise_in(module, error):
    return lambda: exec(f'def fail():\n  raise {error}\nfail()', {'__name__': module})


@pytest.mark.parametrize(('method', 'fail', 'expected'), [
    ('build_model', raise_in('torch.nn', 'ValueError("x" * 999)'), ConfigError),
    ('build_model', raise_in('torch.nn', 'RuntimeError("negative dimension")'), ConfigError),
    ('build_model', raise_in('torch.nn', 'MemoryError()'), MemoryError),
    ('build_model', raise_in('torch.nn', 'OSError()'), OSError),
    ('build_model', raise_in('mmnasfpn.models', 'KeyError("x")'), KeyError),
    ('build_model', raise_in('users_module', 'ValueError("x")'), ValueError),
    ('run', raise_in('torch.nn', 'ValueError("x")'), ValueError)])
def test_only_errors_of_building_from_a_config_are_the_configs(method, fail, expected):
    runner = {'__name__': 'mmengine.runner.runner', 'fail': fail}
    exec(BUILD, runner)
    with pytest.raises(expected) as caught, config_errors():
        runner[method]()
    assert type(caught.value) is expected
    if expected is ConfigError:
        assert len(str(caught.value)) < 700 and caught.value.__cause__ is not None


def test_under_mim_the_message_is_the_last_thing_before_its_traceback(tmp_path, tool_env):
    done = subprocess.run([sys.executable, REPO / 'mmnasfpn/.mim/tools/train.py', tmp_path / 'none.py'],
                          env=tool_env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    assert done.returncode == 1 and 'Traceback' not in done.stdout
    assert done.stdout.splitlines()[-1].startswith(f'train.py: error: the config {tmp_path / "none.py"}')


def test_a_traceback_is_shown_in_place_of_the_message_on_request(monkeypatch, capsys):
    monkeypatch.setenv('MMNASFPN_TRACEBACK', '1')
    assert raised_by(run_tool, lambda: raise_(UsageError('no such ' + 'option'))).code == 2
    assert 'Traceback' in (stderr := capsys.readouterr().err)
    assert stderr.count('no such option') == 1


def test_a_bug_keeps_its_traceback(capsys):
    assert isinstance(raised_by(run_tool, lambda: [][0]), IndexError)
    assert not capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(capsys):
    end = raised_by(run_tool, lambda: raise_(KeyboardInterrupt()), 'the same command goes on')
    assert end.code == 130
    assert capsys.readouterr().err.endswith(': stopped; the same command goes on\n')


@pytest.mark.parametrize(('rank', 'error', 'is_told'), [
    ('0', UsageError('that'), True), ('1', UsageError('that'), False), ('1', KeyboardInterrupt(), False),
    ('1', OSError(errno.ENOSPC, 'that'), True), ('1', torch.OutOfMemoryError('that'), True)])
def test_of_several_processes_the_first_tells_what_all_know(monkeypatch, capsys, rank, error, is_told):
    monkeypatch.setenv('RANK', rank)
    assert raised_by(run_tool, lambda: raise_(error)).code in (1, 2, 130)
    assert ('that' in capsys.readouterr().err) is is_told


def test_an_extra_that_is_missing_is_named(capsys):
    def import_it():
        with needs_extra('search', 'no_such_package'):
            import no_such_package  # noqa: F401

    assert raised_by(import_it).code == 1
    assert "pip install 'mmnasfpn[search]'" in capsys.readouterr().err


def build(**changes):
    return raised_by(MODELS.build, dict(NECK, **changes))


@pytest.mark.parametrize(('error', 'expected'), [
    (lambda: raised_by(open, '/none'), True),
    (lambda: raised_by(check_whole_number, 'x', 'y', 1), True),
    (lambda: raised_by(get_genotype, 'none'), True),
    (lambda: raised_by(raise_, ConversionError('x')), True),
    (lambda: raised_by(raise_, SearchFailed('x')), True),
    (lambda: raised_by(raise_, torch.OutOfMemoryError('x')), True),
    (lambda: build(type='mmnasfpn.Nope'), True),
    (lambda: build(stacks=3), True),
    (lambda: raised_by(MODELS.build, dict(type='mmnasfpn.NASFPN')), True),
    (lambda: raised_by(MODELS.build, dict(type='mmnasfpn.MobileNetV2', width=3)), True),  # of its base
    (lambda: build(stack_times=0), True),
    (lambda: raised_by(MODELS.build, 3), True),
    (lambda: within('tool.py', 'int("x")'), True),
    (lambda: within('/site-packages/torch/x.py', 'raise ValueError'), False),
    (lambda: raised_by(np.testing.assert_equal, 1, 2), False),
    (lambda: raised_by(raise_, ValueError('x')), False),
    (lambda: raised_by(raise_, KeyError('x')), False),
    (lambda: raised_by(get_genotype), False),  # a call of ours that is wrong
    (lambda: raised_by(raise_, RuntimeError('x')), False),
])
def test_which_errors_are_the_users(error, expected):
    assert is_users(error(), 'tool.py') is expected


def wrapped(error):
    """Return an error as some versions of MMEngine raise it anew, with the class before it."""
    return within('/lib/mmengine/registry/build_functions.py', '''
try:
    fail()
except Exception as error:
    raise type(error)(f'class `A` in a.py: {error}')
''', fail=lambda: raise_(error))


def test_what_the_registry_raises_anew_is_judged_by_the_original():
    ours = raised_by(check_whole_number, 'x', 0, 1)
    assert is_users(wrapped(ours))
    assert message_of(wrapped(ours)) == str(ours)
    assert not is_users(wrapped(ValueError('of another package')))


@pytest.mark.parametrize(('error', 'message'), [
    (KeyError("it's not there"), "it's not there"),
    (FileNotFoundError(errno.ENOENT, 'No such file or directory', 'a.json'),
     'a.json: No such file or directory'),
    (FileNotFoundError('Caught FileNotFoundError in DataLoader worker process 0.\n'
                       'Original Traceback (most recent call last):\n  File "x.py", line 1\n'
                       'FileNotFoundError: there is no a.jpg\n'), 'there is no a.jpg'),
    (torch.OutOfMemoryError('CUDA out of memory'), 'CUDA out of memory: make the batch smaller'),
    (ValueError(), 'ValueError')])
def test_messages_are_for_people(error, message):
    assert message_of(error).startswith(message)


def test_an_error_that_all_processes_check_for_concerns_all():
    assert not concerns_one_process(raised_by(load_config, 'none.py'))
    assert concerns_one_process(raised_by(open, 'none.py'))


@pytest.mark.parametrize(('files', 'words'), [
    ({}, r'No such file or directory'),
    ({'a.py': 'x = 1\ny = ('}, "line 2: '\\(' was never closed"),
    ({'a.py': 'x = 1\ny = z'}, "line 2: NameError: name 'z' is not defined"),
    ({'a.py': "_base_ = 'b.py'"}, r'its base .*b\.py: .*No such file'),
    ({'a.py': "_base_ = 'b.py'", 'b.py': 'x = 1\ny = z'}, r'its base .*b\.py: line 2: NameError'),
    ({'a.py': "_base_ = 'nopackage::a/b.py'"}, 'nopackage'),
    ({'a.py': "_base_ = 'mmnasfpn::nasfpn/nope.py'"}, r'nope\.py" does not exist'),
    ({'a.py': "custom_imports = dict(imports=['no_such_module'])"}, 'no_such_module'),
    ({'a.py': '_base_ = ["b.py", "c.py"]', 'b.py': 'x = 1', 'c.py': 'x = 1'},
     'KeyError: Duplicate key'),
])
def test_a_config_that_cannot_be_read_is_told_with_the_place(tmp_path, files, words):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=rf'the config .*a\.py cannot be read: .*{words}'):
        load_config(tmp_path / 'a.py')


def option(parse, text):
    """Return what a type of arguments makes of a text, or how it refuses it."""
    try:
        return parse(text)
    except argparse.ArgumentTypeError as error:
        return str(error)


def test_an_output_file_is_tried_before_the_work(tmp_path):
    parse = output_file('.json', is_new=True)
    assert option(parse, f'{tmp_path}/new/a.json') == tmp_path / 'new/a.json'
    assert list((tmp_path / 'new').iterdir()) == []
    (tmp_path / 'file.json').touch()
    (tmp_path / 'folder.json').mkdir()
    for name, words in (
            ('a.txt', 'must end in .json'), ('file.json', 'exists'), ('folder.json', 'is a folder'),
            ('file.json/a.json', 'cannot be written'), ('x' * 300 + '.json', 'cannot be written')):
        assert words in option(parse, f'{tmp_path}/{name}')


def test_an_output_folder_is_tried_before_the_work(tmp_path):
    assert option(output_folder, f'{tmp_path}/a/b') == tmp_path / 'a/b'
    (tmp_path / 'file').touch()
    assert 'is a file' in option(output_folder, f'{tmp_path}/file')
    assert 'cannot be written' in option(output_folder, f'{tmp_path}/file/a')
    assert 'is empty' in option(output_folder, '')


def test_a_folder_of_the_run_is_made_by_the_run_unless_it_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert option(folder_of_run, 'shown') == 'shown' and not (tmp_path / 'shown').exists()
    assert option(folder_of_run, f'{tmp_path}/b') == f'{tmp_path}/b' and (tmp_path / 'b').is_dir()


def test_a_file_is_written_at_once_or_not_at_all(tmp_path):
    write_json(tmp_path / 'new/a.json', [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / 'new/a.json', [object()])
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a.json']
    assert (tmp_path / 'new/a.json').read_text() == '[\n 1\n]\n'


def options_of(*texts):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions)
    return parser.parse_args(['--cfg-options', *texts]).cfg_options


@pytest.mark.parametrize('text', [
    '1', '-2.5', 'True', 'None', 'a.b', '"x"', '1,2', '[1,2]', '(1,)', '[(1, 2), [a, b], c]', '[]', '1,',
    "'1,2'", '"a","b"', '[[1]]', 'data/a.py', '(a,b),c'])
def test_settings_are_read_as_mmengine_does(text):
    assert options_of(f'a.b={text}') == {'a.b': DictAction._parse_iterable(text)}


@pytest.mark.parametrize('path', [
    'my data/50% [1]', "it's/a=b", '[odd] folder/x[1]', 'a?b#c', 'ä "quoted"', 'one [bracket',
    '(c) (d)'])
def test_paths_on_the_command_line_stay_as_they_are(path):
    assert options_of(f'data_root={path}') == dict(data_root=path)


@pytest.mark.parametrize('text', ['a', '=1', 'a.=1', '.a=1'])
def test_a_setting_without_key_and_value_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        options_of(text)
    assert 'must be key=value' in capsys.readouterr().err


ODD = "50% off? #1 [a] 'q' \"d\" Ünï [/b] {x}"


def test_a_detector_is_trained_and_tested_in_an_oddly_named_folder(tiny_config, run, tmp_path):
    folder = tmp_path / ODD
    folder.mkdir(parents=True)
    config = folder / 'ti%ny [1].py'
    config.write_text(tiny_config.read_text())
    data = [*(f'{key}_dataloader.dataset.data_root={folder}/my shapes'
                               for key in ('train', 'val', 'test')),
            *(f'{key}_evaluator.ann_file={folder}/my shapes/annotations/val.json'
              for key in ('val', 'test')), 'model.test_cfg.score_thr=0.0']
    assert run('train', config, '--work-dir', folder / 'w', '--cfg-options', *data,
               'train_cfg.max_epochs=1', 'train_cfg.val_interval=9') == 0
    dumped = Config.fromfile(folder / 'w' / config.name)
    assert dumped.train_dataloader.dataset.data_root == f'{folder}/my shapes'
    assert run('test', config, folder / 'w/epoch_1.pth', '--work-dir', folder / 't', '--json',
               folder / 'm%.json', '--out', folder / 'p%.pkl', '--show-dir', 'shown %s [1]',
               '--cfg-options', *data) == 0
    assert (folder / 'm%.json').is_file() and (folder / 'p%.pkl').is_file()
    assert len(list((folder / 't').glob('*/shown %s [[]1]/*.jpg'))) == 4


def test_the_cheap_tools_work_in_an_oddly_named_folder(run, tmp_path, capsys):
    folder = tmp_path / ODD / 'b%'
    assert run('make_shapes', folder, '--num-train', 2, '--num-val', 1, '--image-size', 128) == 0
    assert run('split_coco', folder / 'annotations/train.json', '--num-held-out', 1) == 0
    assert (folder / 'annotations/train_search-val.json').is_file()
    genotype = folder / 'ge%no [1] $x_.json'
    genotype.write_text(get_genotype('nasfpn').to_json())
    for style, out in (('graph', 'g%.png'), ('boxes', 'b%.svg')):
        assert run('draw_genotype', genotype, '--style', style, '--out', folder / out) == 0
        assert (folder / out).is_file()
    assert str(folder) in capsys.readouterr().out



def test_a_config_is_found_by_its_path_its_name_or_its_package(tmp_path):
    ours = 'retinanet_r18-w16_nasfpn-3x64_7e_shapes.py'
    theirs = Path(find_config(f'mmnasfpn::nasfpn/{ours}'))
    assert Path(find_config(ours)).resolve() == theirs.resolve()
    assert load_config('mmdet::ssd/ssd300_coco.py').model.type == 'SingleStageDetector'
    for path in (str(tmp_path / 'a.py'), 'none::a.py', 'none.py'):
        assert find_config(path) == path
