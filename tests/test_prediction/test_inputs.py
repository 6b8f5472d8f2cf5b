"""What inputs mean: files, folders, globs, cameras, arrays."""
import os

import numpy as np
import pytest

from mmnasfpn.prediction.inputs import find_sources


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in ('b.jpg', 'a.PNG', 'notes.txt', '._b.jpg', 'sub/b.jpg', 'sub/v.MP4', '.hid/b.jpg',
                 'painted/b.jpg', 'other/c.bmp'):
        path = tmp_path / 'data' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names_of(*inputs, **options):
    return [source.name for source in find_sources(inputs, **options)]


def test_a_folder_gives_images_and_videos_by_name_with_their_paths_below_it(here):
    assert names_of('data') == ['a.PNG', 'b.jpg', 'other/c.bmp', 'painted/b.jpg', 'sub/b.jpg',
                                'sub/v.MP4']
    assert [source.kind for source in find_sources(['data/sub'])] == ['image', 'video']
    assert [source.path for source in find_sources(['data/sub/'])] == [
        'data/sub/b.jpg', 'data/sub/v.MP4']


def test_a_glob_gives_paths_below_its_first_part_without_a_pattern(here):
    assert names_of('data/*.jpg') == ['b.jpg']
    assert names_of('data/*/b.jpg') == ['painted/b.jpg', 'sub/b.jpg']
    assert names_of('data/**/*.jpg') == ['b.jpg', 'painted/b.jpg', 'sub/b.jpg']
    assert names_of(str(here / 'data/s*')) == ['sub/b.jpg', 'sub/v.MP4']  # a folder, with all in it


def test_files_keep_their_paths_below_the_lowest_folder_that_holds_them_all(here):
    assert names_of('data/b.jpg') == ['b.jpg']
    assert names_of('data/sub/b.jpg', here / 'data/b.jpg') == ['sub/b.jpg', 'b.jpg']
    assert names_of('data/notes.txt') == ['notes.txt']  # which the decoder refuses


def test_a_file_that_is_meant_twice_comes_once(here):
    assert names_of('data/sub', 'data/sub/../sub/b.jpg', 'data/sub/*.jpg') == ['b.jpg', 'v.MP4']


def test_the_folder_of_the_output_is_left_out(here):
    assert names_of('data', without='data/painted') == ['a.PNG', 'b.jpg', 'other/c.bmp', 'sub/b.jpg',
                                                        'sub/v.MP4']
    assert names_of('data/*/b.jpg', without=here / 'data/painted') == ['sub/b.jpg']


def test_a_folder_of_the_output_that_holds_the_inputs_leaves_none_of_them_out(here):
    assert names_of('data/sub', without='data') == names_of('data/sub', without='data/sub') == [
        'b.jpg', 'v.MP4']


def test_a_number_is_a_camera_unless_there_is_such_a_file(here):
    assert [(source.kind, source.path) for source in find_sources(['0', 12])] == [
        ('camera', '0'), ('camera', '12')]
    (here / '0').mkdir()
    (here / '0/x.jpg').touch()
    assert names_of('0') == ['x.jpg']


def test_a_link_to_nowhere_is_found_and_a_pipe_is_not(here):
    os.symlink('nowhere.jpg', 'data/sub/link.jpg')
    os.mkfifo('data/sub/pipe.jpg')
    assert names_of('data/sub') == ['b.jpg', 'link.jpg', 'v.MP4']


@pytest.mark.parametrize(('inputs', 'words'), [
    (['none.jpg'], 'there is no file or folder none.jpg'),
    (['data/b.jpg', 'none'], 'there is no file or folder none'),
    (['empty'], 'empty is a folder without an image or video'),
    (['texts'], 'texts is a folder without an image or video'),
    (['data/*.tif'], r'data/\*.tif matches no image or video'),
    (['data/*.txt'], r'data/\*.txt matches no image or video'),
    ([''], 'there is no file or folder'), (['1234567890123'], 'there is no file or folder 1234'),
    ([], 'there are no inputs'),
])
def test_inputs_without_images_are_refused_by_name(here, inputs, words):
    (here / 'empty').mkdir()
    (here / 'texts').mkdir()
    (here / 'texts/a.txt').touch()
    with pytest.raises(FileNotFoundError, match=words):
        find_sources(inputs)


@pytest.mark.parametrize('array', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
                                   np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_of_another_kind_are_refused(array):
    with pytest.raises(ValueError, match=r'input 0 is an array of .*must be of uint8 and \(H, W, 3\)'):
        find_sources([array])
