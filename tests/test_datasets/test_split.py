"""Holding images out of a COCO-format data set."""
import json

import pytest

from mmnasfpn.datasets.split import NUM_HELD_OUT, split_coco
from tests.conftest import run_tool_here

CATEGORIES = [dict(id=1, name='bolt')]


def write(path, ids):
    images = [dict(id=i, file_name=f'{i}.jpg') for i in ids]
    annotations = [dict(id=10 * i + n, image_id=i, category_id=1) for i in ids for n in range(i % 3)]
    path.write_text(json.dumps(dict(info='mine', images=images, annotations=annotations,
                                    categories=CATEGORIES)))
    return path


def split(folder, source, *arguments):
    files = folder / 'train.json', folder / 'val.json'
    counts = split_coco(source, *files, *arguments)
    return counts, [json.loads(file.read_text()) for file in files]


def ids(data):
    return {image['id'] for image in data['images']}


def test_every_image_and_its_boxes_are_in_one_part(tmp_path):
    source = write(tmp_path / 'all.json', range(50))
    counts, (train, val) = split(tmp_path, source, 12)
    assert counts == (38, 12) == (len(train['images']), len(val['images']))
    assert ids(train) | ids(val) == set(range(50)) and not ids(train) & ids(val)
    for part in (train, val):
        assert (part['categories'], part['info']) == (CATEGORIES, 'mine')
        assert len(part['annotations']) == sum(i % 3 for i in ids(part))
        assert {ann['image_id'] for ann in part['annotations']} <= ids(part)


def test_the_choice_follows_the_seed_and_not_the_order_of_the_file(tmp_path):
    source = write(tmp_path / 'all.json', range(50))
    backwards = write(tmp_path / 'backwards.json', range(49, -1, -1))
    _, (_, val) = split(tmp_path, source, 12, 3)
    _, (_, same) = split(tmp_path, backwards, 12, 3)
    _, (_, other) = split(tmp_path, source, 12, 4)
    assert ids(val) == ids(same) != ids(other)


def test_the_papers_number_is_held_out_unless_another_is_given(tmp_path):
    assert NUM_HELD_OUT == 118_287 - 110_895
    with pytest.raises(ValueError, match='has 50 images, but 7392 are to be held out.*fewer'):
        split(tmp_path, write(tmp_path / 'all.json', range(50)))


def test_what_cannot_be_split_is_named(tmp_path):
    source = write(tmp_path / 'all.json', range(5))
    with pytest.raises(FileNotFoundError, match='none.json'):
        split(tmp_path, tmp_path / 'none.json', 2)
    with pytest.raises(ValueError, match='three different files'):
        split_coco(source, source, tmp_path / 'val.json', 2)
    (tmp_path / 'list.json').write_text('[1]')
    with pytest.raises(ValueError, match='not in COCO format'):
        split(tmp_path, tmp_path / 'list.json', 2)
    for text in ('{"images": [{"id": [1]}], "annotations": [], "categories": []}',
                 '{"images": [], "annotations": []}'):
        (tmp_path / 'list.json').write_text(text)
        with pytest.raises(ValueError, match='not in COCO format'):
            split(tmp_path, tmp_path / 'list.json', 2)
    with pytest.raises(ValueError, match='num_held_out is 0'):
        split(tmp_path, source, 0)


def test_the_tool_writes_beside_the_file(tmp_path, monkeypatch, capsys):
    source = write(tmp_path / 'all.json', range(20))
    run_tool_here(monkeypatch, 'split_coco', source, '--num-held-out', 5)
    output = capsys.readouterr().out
    assert 'all_search-train.json: 15 images' in output
    assert 'all_search-val.json: 5 images' in output
    assert len(json.loads((tmp_path / 'all_search-val.json').read_text())['images']) == 5
