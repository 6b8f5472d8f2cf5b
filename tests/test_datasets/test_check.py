"""The tool that checks an annotation file on its own."""
import json

import pytest
from PIL import Image

from mmnasfpn.datasets.check import check_file
from tests.conftest import run_tool_here
from tests.test_datasets.annotation_files import one, without, write


@pytest.fixture
def images(tmp_path):
    for number in range(1, 6):
        Image.new('RGB', (200, 100)).save(tmp_path / f'{number}.jpg')
    return tmp_path


def run(monkeypatch, capsys, *arguments):
    """Return the exit status and the output of the tool."""
    with pytest.raises(SystemExit) as ended:
        run_tool_here(monkeypatch, 'check_data', *arguments)
    return int(ended.value.code or 0), capsys.readouterr().out


def test_a_sound_file_has_a_table_and_ends_well(images, monkeypatch, capsys):
    status, out = run(monkeypatch, capsys, write(images / 'a.json'), '--images', images)
    assert status == 0 and 'nothing is wrong' in out and '5 images, 0 of them without boxes' in out
    row = next(line for line in out.splitlines() if 'square' in line)
    assert [cell.strip() for cell in row.split('│')[1:-1]] == [
        'square', '2', '5', '10', '0', '10', '0', '0', '0']


def test_errors_end_it_with_1_and_warnings_do_not(images, monkeypatch, capsys):
    path = write(images / 'a.json', one('annotations', bbox=[5, 5, 0, 9]))
    assert run(monkeypatch, capsys, path)[0] == 0
    status, out = run(monkeypatch, capsys, write(images / 'b.json', one('annotations', id=0)))
    assert status == 1 and 'error: an annotation has the id 0' in out


def test_all_images_are_opened(images, monkeypatch, capsys):
    (images / '4.jpg').write_bytes(b'no image')
    status, out = run(monkeypatch, capsys, write(images / 'a.json'), '--images', images)
    assert status == 1 and '1 of 5 images that were opened cannot be read' in out and '4.jpg' in out


def test_the_repaired_copy_is_sound_and_what_was_done_is_said(images, monkeypatch, capsys):
    path = write(images / 'a.json', without('annotations', 'iscrowd'))
    status, out = run(monkeypatch, capsys, path, '--fix', images / 'b.json')
    assert status == 0 and "- 30 annotations given 'iscrowd' 0" in out
    assert check_file(images / 'b.json')['faults'] == []


def test_what_is_left_to_be_repaired_by_hand_ends_it_with_1(images, monkeypatch, capsys):
    path = write(images / 'a.json', without('images', 'file_name', slice(1)))
    status, out = run(monkeypatch, capsys, path, '--fix', images / 'b.json')
    assert status == 1
    assert "To be repaired by hand:\nerror: 1 of 5 images (id 1) has no 'file_name'" in out


def test_faults_and_figures_are_written_as_json(images, monkeypatch, capsys):
    path = write(images / 'a.json', one('annotations', id=0))
    run(monkeypatch, capsys, path, '--json', images / 'out' / 'report.json')
    report = json.loads((images / 'out' / 'report.json').read_text())
    assert [fault['rule'] for fault in report['faults']] == ['annotation-id-0']
    assert report['summary']['images'] == dict(
        number=5, without_boxes=0, height=[100, 100, 100], width=[200, 200, 200])
    assert report['summary']['classes'][1] == dict(
        name='square', id=2, images=5, boxes=10, small=0, medium=10, large=0, crowds=0, unusable=0)


def test_a_file_that_cannot_be_read_is_said_without_a_table(images, monkeypatch, capsys):
    (images / 'a.json').write_text('{"images": [')
    status, out = run(monkeypatch, capsys, images / 'a.json')
    assert status == 1 and 'ends too early' in out and '│' not in out


def test_images_that_are_broken_are_left_to_be_repaired_by_hand(images, monkeypatch, capsys):
    (images / '4.jpg').write_bytes(b'no image')
    path = write(images / 'a.json', without('annotations', 'iscrowd'))
    status, out = run(monkeypatch, capsys, path, '--images', images, '--fix', images / 'b.json')
    assert status == 1 and '4.jpg' in out.rpartition('To be repaired by hand:')[2]


@pytest.mark.parametrize('arguments', [
    ['--json', 'a.json'], ['--fix', 'a.json'], ['--fix', 'b.json', '--json', 'b.json'],
    ['--fix', 'there.json'], ['--color-type', 'colour'], ['--classes', 'circle'],
    ['--fix', 'b.json', '--classes', 'circle', 'circle']])
def test_nothing_is_written_over_and_odd_arguments_are_refused(images, monkeypatch, capsys, arguments):
    before = write(images / 'a.json').read_bytes()
    (images / 'there.json').write_text('mine')
    monkeypatch.chdir(images)
    assert run(monkeypatch, capsys, 'a.json', *arguments)[0] == 2
    assert (images / 'a.json').read_bytes() == before and not (images / 'b.json').exists()
    assert (images / 'there.json').read_text() == 'mine'
