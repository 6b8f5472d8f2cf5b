"""The whole look at mistakes: its page, its pictures, its figures."""
import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.analysis.coco_metrics import METRICS
from mmnasfpn.engine.run import load_config
from mmnasfpn.errors import UsageError
from mmnasfpn.mistakes.paint import COLOURS, _Mark, _paint
from mmnasfpn.mistakes.report import look_at
from mmnasfpn.mistakes.run import analyze, write_report
from mmnasfpn.mistakes.tide import KINDS
from tests.conftest import run_tool_here
from tests.test_mistakes.detection_sets import make_set
from tests.test_mistakes.truths import truth_of

ODD_NAME = '<b>"cat" & $x$</b>'


class Page(HTMLParser):
    """What a page loads, and its text."""

    def __init__(self, html):
        super().__init__()
        self.loaded, self.tags, self.text = [], [], ''
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [value for name, value in attributes
                        if name in ('src', 'href', 'srcset', 'data', 'action', 'poster', 'background')]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """A folder with the page on a set of detections, one of whose classes has an odd name."""
    out = tmp_path_factory.mktemp('out')
    dataset, detections = make_set('gaps')
    dataset['categories'][1]['name'] = ODD_NAME
    truth = truth_of(dataset)
    (out / 'in').mkdir()
    for image in dataset['images']:
        cv2.imwrite(str(out / 'in' / image['file_name']), np.full((48, 64, 3), 90, np.uint8))
        truth.paths[image['id']] = str(out / 'in' / image['file_name'])
    (out / 'in/3.jpg').write_text('no image')
    report = look_at(truth, detections, dict(name='mine', config=f'{ODD_NAME}.py'), score_thr=0.4)
    write_report(report, out, num_images=11)
    return out, report


def test_the_page_needs_no_other_file(written):
    html = (written[0] / 'index.html').read_text()
    page = Page(html)
    assert len(page.loaded) == 2 + 10  # drawings and painted images
    assert {link.partition('base64,')[0] for link in page.loaded} == {
        'data:image/png;', 'data:image/jpeg;'}
    assert not {'script', 'link', 'iframe', 'object', 'embed'} & set(page.tags)
    assert not re.search(r'url\(|@import|https?:', re.sub('base64,[^"]*', '', html))
    for link in page.loaded:
        pixels = np.frombuffer(base64.b64decode(link.partition(',')[2]), np.uint8)
        assert cv2.imdecode(pixels, cv2.IMREAD_COLOR) is not None


def test_names_are_shown_as_they_are(written):
    page = Page((written[0] / 'index.html').read_text())
    assert ODD_NAME in page.text and f'{ODD_NAME}.py' in page.text


def test_the_page_and_the_json_say_the_same(written):
    out, report = written
    text = Page((out / 'index.html').read_text()).text
    data = json.loads((out / 'analysis.json').read_text())
    assert f'{data["ap"]["AP"]:.3f}' in text
    assert [entry['name'] for entry in data['classes']] == ['cat', ODD_NAME, 'car', 'sofa']
    assert data['classes'][0]['AP'] is None and data['classes'][0]['boxes'] == 0
    assert data['confusion']['labels'][-1] == 'background'
    assert set(data['errors']['kinds']) == set(KINDS)
    for kind, entry in data['errors']['kinds'].items():
        assert f'{entry["cost"]:.3f}' in text and kind in text
        assert entry['count'] == report.shown.num_of_kinds()[kind]
    assert data['score_thr'] == 0.4 and data['iou_thr'] == 0.5 and 'at least 0.4' in text
    assert (data['num_images'], data['num_boxes']) == (12, report.truth.num_boxes)
    assert len(data['precision']['recalls']) == 101
    missed = data['errors']['missed_of_sizes']
    assert sum(entry['missed'] for entry in missed.values()) == report.shown.is_missed.sum()
    assert sum(entry['boxes'] for entry in missed.values()) == data['num_boxes']


def test_errors_are_those_of_detections_from_the_score_on(written):
    _, report = written
    assert {found['score'] >= 0.4 for found in report.shown.detections} == {True}
    assert len(report.shown.detections) < report.num_detections


def test_images_are_in_the_order_of_their_errors(written):
    out, report = written
    totals = [errors.total() for errors in report.errors_of_images().values()]
    assert totals == sorted(totals, reverse=True) and totals[0] > totals[-1]
    assert sum(totals) == sum(report.shown.num_of_kinds().values())
    names = [image['file_name'] for image in json.loads((out / 'analysis.json').read_text())['images']]
    names.remove('3.jpg')  # cannot be read
    painted = json.loads((out / 'analysis.json').read_text())['painted']
    assert [f'{image["id"]}.jpg' for image in painted] == names[:10]
    assert [image['file'] for image in painted] == [f'painted/{place:02d}.jpg' for place in range(1, 11)]
    assert {path.name for path in (out / 'painted').iterdir()} == {f'{n:02d}.jpg' for n in range(1, 11)}


def test_mistakes_are_painted_in_the_colour_of_their_kind():
    image = np.zeros((300, 400, 3), np.uint8)
    pixels = _paint(image, [_Mark([100, 100, 200, 150], COLOURS['missed'], 'cat, missed'),
                            _Mark([-20, -20, 900, 900], COLOURS['right'], '')])
    assert pixels.shape == (300, 400, 3)
    colour = np.array([int(COLOURS['missed'][place:place + 2], 16) for place in (1, 3, 5)])
    near = np.abs(pixels.astype(int) - colour).max(axis=2) < 60
    assert near[175, 95:105].any() and near[85:99, 110].any()  # the edge, and the text's background
    assert not near[200:240, 150:250].any()


@pytest.mark.parametrize('shape', [(30, 40), (30, 40, 1), (30, 40, 4), (2000, 10, 3)])
def test_images_of_any_form_are_painted(shape):
    pixels = _paint(np.zeros(shape, np.uint8), [_Mark([1, 1, 3, 3], COLOURS['class'], 'a')])
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and 360 <= max(pixels.shape) <= 720
    assert _paint(np.full(shape, 256 * 200, np.uint16), []).max() == 200


@pytest.mark.parametrize('given', [{}, dict(checkpoint='a.pth', predictions='p.pkl')])
def test_either_a_checkpoint_or_predictions_are_needed(tiny_config, tmp_path, given):
    with pytest.raises(UsageError, match='either a checkpoint or --predictions'):
        analyze(load_config(tiny_config), tmp_path, **given)


def test_options_of_how_a_model_runs_are_refused_with_predictions(tiny_config, tmp_path):
    for option in (dict(tta=True), dict(dtype='bf16'), dict(compile_mode='default')):
        with pytest.raises(UsageError, match='--predictions runs no model'):
            analyze(load_config(tiny_config), tmp_path, predictions='p.pkl', **option)


def test_a_checkpoint_is_run_and_its_predictions_can_be_used_again(
        tiny_config, tmp_path, monkeypatch, capsys):
    options = ['--cfg-options', 'model.test_cfg.score_thr=0.0', 'model.test_cfg.max_per_img=20']
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(load_config(tiny_config).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'random.pth')
    run_tool_here(monkeypatch, 'analyze', tiny_config, tmp_path / 'random.pth', '--out', tmp_path / 'a',
                  '--score-thr', '0', '--num-images', '1', *options)
    assert str(tmp_path / 'a/index.html') in capsys.readouterr().out
    run_tool_here(monkeypatch, 'analyze', tiny_config, '--predictions', tmp_path / 'a/predictions.pkl',
                  '--out', tmp_path / 'b', '--score-thr', '0', '--num-images', '0')
    first, again = (json.loads((tmp_path / name / 'analysis.json').read_text()) for name in ('a', 'b'))
    assert {key for key in first if first[key] != again[key]} == {'about', 'painted'}
    assert first['about']['checkpoint'] == str(tmp_path / 'random.pth')
    assert first['num_detections'] == 4 * 20
    assert len(list((tmp_path / 'a/painted').iterdir())) == 1
    metrics = json.loads(next((tmp_path / 'a/test').glob('*/*.json')).read_text())  # the run's own
    for value, name in zip(first['ap'].values(), METRICS.values(), strict=True):
        assert (-1 if value is None else value) == pytest.approx(metrics[name], abs=0.00051)
