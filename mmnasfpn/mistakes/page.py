"""The page on a detector's mistakes: one HTML file that needs no other."""
import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from mmnasfpn._files import write_text
from mmnasfpn.mistakes.coco import COLUMNS
from mmnasfpn.mistakes.confusion import most_frequent
from mmnasfpn.mistakes.paint import COLOURS, PaintedImage
from mmnasfpn.mistakes.report import Report
from mmnasfpn.mistakes.style import STYLE
from mmnasfpn.mistakes.tide import BACKGROUND_IOU, FOUND_IOU, KINDS, MAX_DETECTIONS

#: What each kind means, and what may help.
TEXTS: Mapping[str, tuple[str, str]] = {
    'class': ('A box is there, but of another class.',
              'See below which classes are confused. Are they told apart in the same way in all '
              'annotations? More images of the rarer one may help, and so may a larger backbone.'),
    'place': (f'The class is right, but the box overlaps by {BACKGROUND_IOU} to {FOUND_IOU} only.',
              'Look whether the annotations are drawn alike, tight around the whole object. Train for '
              'longer, or at a larger size. Where several objects get one box, they may be crowded.'),
    'both': ('Of another class, and misplaced.',
             'Mostly few. They go down with the errors in class and in place.'),
    'duplicate': ('A second detection of a box that has one.',
                  'Lower the IoU threshold of NMS: model.test_cfg.nms.iou_threshold.'),
    'background': (f'Nothing is there: no box overlaps by more than {BACKGROUND_IOU}.',
                   'Look at the images first: often an object is there, and its annotation is missing. '
                   'Otherwise train with images that have no objects (filter_empty_gt=False), and with '
                   'what looks similar.'),
    'missed': ('A box that no detection finds, nor would if its class or place were right.',
               'Where most are small: train and test at a larger size. Where a class has few boxes: '
               'collect more of it. Otherwise train for longer, or lower model.test_cfg.score_thr.')}
#: Where there is no number.
NOTHING = '-'


def write_page(report: Report, painted: Sequence[PaintedImage], figures: Mapping[str, Path],
               out: Path) -> None:
    """Write the page.

    Args:
        report (Report): The figures.
        painted (Sequence[PaintedImage]): The images with the most errors.
        figures (Mapping[str, Path]): Drawings, ``curves`` and ``confusions``.
        out (Path): The HTML file.
    """
    title = f'Mistakes of {report.about["name"]}'
    sections = (_about(report), _tiles(report), _costs(report), _by_class(report),
                _section('Precision over recall', _curves_text(),
                         _figure(figures['curves'], 'Precision over recall by class', kind='wide')),
                _confusions(report, figures['confusions']), _images(report, painted))
    write_text(out, f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{''.join(sections)}
</main>
</body>
</html>
""")


def _section(title: str, *parts: str) -> str:
    return f'<section>\n<h2>{escape(title)}</h2>\n{"".join(parts)}</section>\n'


def _paragraph(text: str) -> str:
    return f'<p>{escape(text)}</p>\n'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = '') -> str:
    """Return a table of cells that are HTML already."""
    top = ''.join(f'<th>{escape(name)}</th>' for name in head)
    lines = ''.join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (f'<div class="scroll"><table class="{kind}">\n<thead><tr>{top}</tr></thead>\n'
            f'<tbody>\n{lines}</tbody></table></div>\n')


def _figure(path: Path, text: str, caption: str = '', kind: str = '') -> str:
    form = 'jpeg' if path.suffix == '.jpg' else 'png'
    data = base64.b64encode(path.read_bytes()).decode()
    below = f'<figcaption>{caption}</figcaption>' if caption else ''
    image = f'<img alt="{escape(text)}" src="data:image/{form};base64,{data}">'
    return f'<figure class="scroll {kind}">{image}{below}</figure>\n'


def _number(value: float | None) -> str:
    return NOTHING if value is None else f'{value:.3f}'


def _about(report: Report) -> str:
    about = {**report.about,
             'images': f'{len(report.truth.coco.imgs)}, with {report.truth.num_boxes} boxes',
             'detections': f'{report.num_detections}, {len(report.shown.detections)} of them with a '
                           f'score of at least {report.score_thr:g}'}
    del about['name']
    items = ''.join(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in about.items())
    return f'<dl>{items}</dl>\n'


def _tiles(report: Report) -> str:
    tiles = ''.join(f'<div class="tile"><b>{_number(value)}</b><span>'
                    f'{name if name.startswith("AP") else f"AP {name}"}</span></div>'
                    for name, value in report.ap.total.items())
    return f'<div class="tiles">{tiles}</div>\n'


def _costs(report: Report) -> str:
    costs, counts = report.costs, report.shown.num_of_kinds()
    order = sorted(KINDS, key=lambda kind: -costs.of_kind[kind])
    most = max(costs.of_kind.values()) or 1
    rows = []
    for kind in order:
        cost, (meaning, advice) = costs.of_kind[kind], TEXTS[kind]
        bar = f'<i class="bar" style="width:{100 * cost / most:.1f}%;background:{COLOURS[kind]}"></i>'
        rows.append((_chip(kind), f'<div class="cost">{cost:.3f}{bar}</div>', str(counts[kind]),
                     f'{escape(meaning)} <em>{escape(advice)}</em>'))
    missed = ', '.join(f'{number} of {boxes} {size}' for size, (number, boxes) in
                       report.missed_of_sizes().items() if boxes)
    return _section(
        'What costs AP',
        _paragraph(f'By how much AP50 would rise from {costs.ap:.3f} if all errors of one kind were put '
                   'right (TIDE). Without any wrong detection it would rise by '
                   f'{costs.false_positives:.3f}, if every box were found by '
                   f'{costs.false_negatives:.3f}. The parts do not add up to the whole. The errors are '
                   'those that one sees: of detections with a score of at least '
                   f'{report.score_thr:g}. Boxes of which many are missed at little cost are found at '
                   'lower scores.'),
        _table(('kind', 'cost', 'errors', 'what it means, and what may help'), rows, 'costs'),
        _paragraph(f'Missed by size: {missed}. Small is below 32x32 pixels, medium below 96x96. The '
                   f'{MAX_DETECTIONS} best detections of an image count here.'))


def _chip(kind: str) -> str:
    return f'<span class="chip" style="background:{COLOURS[kind]}">{kind}</span>'


def _by_class(report: Report) -> str:
    def line(name: str, values: Mapping[str, float | None], boxes: int | None) -> list[str]:
        return [name, *(_shaded(values[column]) for column in COLUMNS), str(boxes)]

    rows = [line(escape(name), report.ap.of_class[key], int(report.ap.of_class[key]['boxes'] or 0))
            for key, name in zip(report.truth.category_ids, report.classes, strict=True)]
    total = line('<b>all</b>', report.ap.total, report.truth.num_boxes)
    return _section('AP by class and size', _paragraph(
        'AP is the mean over IoU thresholds from 0.5 to 0.95, AP50 and AP75 are those at one. A dash '
        'stands where there are no boxes of that class and size.'),
        _table(('class', *COLUMNS, 'boxes'), [total, *rows], 'numbers'))


def _shaded(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f'<span class="share" style="--share:{100 * value:.0f}%">{value:.3f}</span>'


def _curves_text() -> str:
    return _paragraph('Of all detections down to a score, the share that is right, over the share of '
                      'boxes that they find. A curve that ends early misses boxes at any score; one '
                      'that falls early has wrong detections of high scores.')


def _confusions(report: Report, figure: Path) -> str:
    pairs = most_frequent(report.confusions)
    totals = report.confusions.sum(axis=1)
    rows = [(escape(report.classes[row]), escape(report.classes[column]), str(count),
             f'{100 * count / totals[row]:.0f}%') for row, column, count in pairs]
    table = _table(('is', 'detected as', 'times', 'of the row'), rows) if rows else _paragraph(
        'No class is taken for another.')
    return _section(
        'Confusion matrix', _paragraph(
            'Rows are what is there, columns what is detected with a score of at least '
            f'{report.score_thr:g}, where both overlap by an IoU of at least {report.iou_thr:g}. The '
            'last column has boxes without a detection of their class, the last row detections where no '
            'box is.'),
        _figure(figure, 'Confusion matrix in percent of its rows'),
        '<h3>Most frequent confusions</h3>\n', table)


def _images(report: Report, painted: Sequence[PaintedImage]) -> str:
    if not painted:
        return ''
    number = sum(bool(errors.total()) for errors in report.errors_of_images().values())
    legend = ' '.join(_chip(kind) for kind in COLOURS)
    cards = []
    for image in painted:
        errors = ', '.join(f'{count} {kind}' for kind, count in image.errors.items() if count)
        caption = f'<b>{escape(image.name)}</b> {escape(errors)}'
        cards.append(_figure(image.path, f'{image.name}: {errors}', caption, 'wide'))
    return _section(
        'The images with the most errors',
        _paragraph(f'{len(painted)} of {number} images with errors. On the left the ground truth, on '
                   f'the right detections with a score of at least {report.score_thr:g}. Thin boxes are '
                   'right. A box of the ground truth that is not found has the colour of what keeps it '
                   'from that.'),
        f'<p class="legend">{legend}</p>\n<div class="images">{"".join(cards)}</div>\n')
