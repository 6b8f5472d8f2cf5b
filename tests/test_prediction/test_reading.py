"""Odd images and videos are read as the config says; broken ones are skipped and named."""
import struct
import zlib

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mmnasfpn.errors import ConfigError
from mmnasfpn.prediction.inputs import find_sources
from mmnasfpn.prediction.reading import InputPipeline, count_images, read_ahead, read_items
from tests.test_prediction.conftest import write_video


def make_pipeline(load=None, rest=()):
    init_default_scope('mmdet')
    transforms = [load or dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
                  *rest, dict(type='PackDetInputs')]
    return InputPipeline(Config(dict(test_dataloader=dict(dataset=dict(pipeline=transforms)))))


def read(*paths, **options):
    """Return the images and, by the name of its file, why each other one was skipped."""
    skipped = {}
    sources = find_sources(paths)
    items = list(read_items(sources, make_pipeline(**options), skipped.__setitem__))
    return items, {path.rpartition('/')[2]: reason for path, reason in skipped.items()}


def write_png(path, width, height):
    """Write a PNG of this size with next to no pixels."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header)
                     + chunk(b'IDAT', zlib.compress(b'\0' * 99)) + chunk(b'IEND', b''))


def test_broken_images_are_skipped_and_named_and_the_others_read(tmp_path, picture):
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    cv2.imwrite(str(tmp_path / 'z.jpg'), picture)
    whole = (tmp_path / 'z.jpg').read_bytes()
    (tmp_path / 'cut.jpg').write_bytes(whole[:len(whole) // 2])
    (tmp_path / 'empty.jpg').touch()
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'link.jpg').symlink_to('nowhere')
    write_png(tmp_path / 'bomb.png', 40000, 40000)
    items, skipped = read(tmp_path)
    assert [item.source.name for item in items] == ['a.png', 'z.jpg']
    undecodable = 'cannot be decoded: it is damaged, cut short or no image'
    assert skipped.pop('bomb.png').startswith('has more pixels than OpenCV reads')
    assert skipped == {'cut.jpg': undecodable, 'empty.jpg': 'cannot be read: it is an empty file',
                       'text.png': undecodable, 'link.jpg': 'cannot be read: No such file or directory'}


def test_an_image_that_cannot_be_resized_is_skipped(tmp_path):
    cv2.imwrite(str(tmp_path / 'thin.png'), np.zeros((1, 3000, 3), np.uint8))
    items, skipped = read(tmp_path, rest=[dict(type='Resize', scale=(64, 64), keep_ratio=True)])
    assert not items
    assert 'is of 3000x1 pixels, which cannot be resized' in skipped['thin.png']


def as_pillow(picture):
    return Image.fromarray(picture[..., ::-1])


@pytest.mark.parametrize(('name', 'save', 'tolerance'), [
    ('gray.png', lambda image, path: image.convert('L').save(path), 1),
    ('16.png', lambda image, path: cv2.imwrite(path, np.array(image)[..., ::-1].astype('u2') * 257), 0),
    ('cmyk.jpg', lambda image, path: image.convert('CMYK').save(path, quality=95), 4),
    ('alpha.png', lambda image, path: image.convert('RGBA').save(path), 0),
    ('moving.gif', lambda image, path: image.save(
        path, save_all=True, append_images=[Image.new('RGB', image.size)] * 2), 12),  # 256 colours
    ('moving.webp', lambda image, path: image.save(
        path, save_all=True, append_images=[Image.new('RGB', image.size)] * 2, lossless=True), 0),
])
def test_images_of_other_kinds_are_read_as_colours_and_moving_ones_by_their_first(
        tmp_path, picture, name, save, tolerance):
    save(as_pillow(picture), str(tmp_path / name))
    (item,), skipped = read(tmp_path)
    assert not skipped
    gray = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    expected = gray if name == 'gray.png' else picture
    assert item.image.shape == expected.shape and item.image.dtype == np.uint8
    assert np.abs(item.image.astype(int) - expected).mean() <= tolerance


@pytest.mark.parametrize(('color_type', 'shape'), [('color', (128, 60, 3)),
                                                   ('color_ignore_orientation', (60, 128, 3)),
                                                   ('grayscale', (128, 60))])
def test_the_config_says_whether_images_are_turned_by_their_orientation_and_gray(
        tmp_path, picture, color_type, shape):
    exif = Image.Exif()
    exif[0x0112] = 6
    as_pillow(picture[:60]).save(tmp_path / 'turned.jpg', exif=exif)
    load = dict(type='LoadImageFromFile', color_type=color_type)
    (item,), _ = read(tmp_path, load=load)
    assert item.image.shape == shape
    assert item.sample['data_samples'].ori_shape == shape[:2]
    (frame,), _ = read(picture[:60], load=load)
    assert frame.image.ndim == len(shape)


def test_a_very_large_image_is_read(tmp_path):
    cv2.imwrite(str(tmp_path / 'large.png'), np.zeros((1500, 9000, 3), np.uint8))
    (item,), skipped = read(tmp_path, rest=[dict(type='Resize', scale=(64, 64), keep_ratio=True)])
    assert item.image.shape == (1500, 9000, 3) and not skipped
    assert item.sample['inputs'].shape == (3, 11, 64)


def test_broken_videos_are_skipped_and_named_and_all_frames_of_others_read(tmp_path, picture):
    write_video(tmp_path / 'a.mp4', picture, 5)
    whole = write_video(tmp_path / 'cut.mkv', picture, 20).read_bytes()
    (tmp_path / 'cut.mkv').write_bytes(whole[:len(whole) // 2])
    write_video(tmp_path / 'none.avi', picture, 0, codec='MJPG')
    (tmp_path / 'empty.mp4').touch()
    (tmp_path / 'text.mov').write_text('no video')
    items, skipped = read(tmp_path)
    assert [item.frame for item in items if item.source.name == 'a.mp4'] == list(range(5))
    assert {item.fps for item in items if item.source.name == 'a.mp4'} == {12.5}
    done = sum(item.source.name == 'cut.mkv' for item in items)
    assert 0 < done < 20 and skipped.pop('cut.mkv').startswith(f'ends after {done} of 20 frames')
    assert skipped == {'none.avi': 'has no frames', 'text.mov': 'cannot be opened as a video',
                       'empty.mp4': 'cannot be opened as a video: it is an empty file'}


def test_a_camera_that_cannot_be_opened_is_named():
    items, skipped = read(99)
    assert not items
    assert skipped == {'99': 'there is no such camera, or another program uses it'}


def test_images_are_counted_by_the_headers_of_videos_and_cameras_have_no_number(tmp_path, picture):
    write_video(tmp_path / 'a.mp4', picture, 5)
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    assert count_images(find_sources([tmp_path])) == 6
    assert count_images(find_sources([tmp_path, 0])) is None


def test_no_more_than_the_next_item_is_read_ahead():
    made = []

    def make():
        for number in range(10):
            made.append(number)
            yield number

    items = read_ahead(make())
    assert next(items) == 0 and next(items) == 1
    items.close()  # waits for the thread
    assert made == [0, 1, 2]


@pytest.mark.parametrize('cfg', [
    {}, dict(test_dataloader=dict(dataset=dict(pipeline=[]))),
    dict(test_dataloader=dict(dataset=dict(pipeline=[dict(type='Resize')])))])
def test_a_config_without_a_test_pipeline_that_reads_files_is_refused(cfg):
    with pytest.raises(ConfigError, match='does not begin with LoadImageFromFile'):
        InputPipeline(Config(cfg))
