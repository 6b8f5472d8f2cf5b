"""Images with the mistakes on them."""
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import mmcv
import numpy as np
from mmengine.logging import print_log
from mmengine.visualization import Visualizer
from rich.progress import track

from mmnasfpn.mistakes.report import Report

#: The colour of each kind, and of what is right.
COLOURS: Mapping[str, str] = {
    'right': '#2fa866', 'missed': '#e02f3c', 'background': '#d63fa8', 'class': '#8a5cf0',
    'place': '#f08a1d', 'duplicate': '#2f8fe0', 'both': '#a2683a'}
_LONGEST, _SHORTEST = 720, 360  # pixels of a painted image's longer side
_MARGIN = 8
_QUALITY = 88  # of JPEG


class _Mark(NamedTuple):
    """A box to paint: x, y, width, height in pixels, its colour, its text, '' for a thin box."""

    bbox: Sequence[float]
    colour: str
    text: str


class PaintedImage(NamedTuple):
    """A painted image: its file, its id and its own name, and how many errors of which kinds it has."""

    path: Path
    image_id: Any
    name: str
    errors: Mapping[str, int]


def paint_worst(report: Report, folder: Path, num_images: int) -> list[PaintedImage]:
    """Paint the images with the most errors: the ground truth, and beside it the detections.

    Args:
        report (Report): The mistakes.
        folder (Path): Where to write them, as ``01.jpg``, ``02.jpg``, ...
        num_images (int): How many; fewer where fewer have errors.

    Returns:
        list[PaintedImage]: What was painted. A file that cannot be read is warned of and left out.
    """
    worst = [item for item in report.errors_of_images().items() if item[1].total()][:num_images]
    painted: list[PaintedImage] = []
    for image_id, errors in track(worst, 'Painting images', disable=not worst):
        path = report.truth.paths[image_id]
        image = report.truth.reader.read(path)
        if image is None:
            print_log(f'{path} cannot be read: it is not painted', 'current', logging.WARNING)
            continue
        sides = [_paint(image, marks) for marks in (_of_boxes(report, image_id),
                                                    _of_detections(report, image_id))]
        file = folder / f'{len(painted) + 1:02d}.jpg'
        gap = np.full((sides[0].shape[0], _MARGIN, 3), 255, np.uint8)
        mmcv.imwrite(np.hstack([sides[0], gap, sides[1]])[..., ::-1], str(file),
                     [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        shown = report.truth.coco.imgs[image_id]['file_name'] or Path(path).name
        painted.append(PaintedImage(file, image_id, shown, dict(errors)))
    return painted


def _of_boxes(report: Report, image_id: Any) -> list[_Mark]:
    shown = report.shown
    # Boxes that a detection would find if its class or place were right have the colour of that.
    meant = {int(target): str(kind) for target, kind, fixable in
             zip(shown.targets, shown.kinds, shown.is_fixable, strict=True) if fixable}
    marks = []
    for place, box in enumerate(shown.boxes):
        if box['image_id'] == image_id:
            name = report.truth.coco.cats[box['category_id']]['name']
            kind = 'missed' if shown.is_missed[place] else meant.get(place, 'right')
            text = dict(missed=f'{name}, missed', right='').get(kind, name)
            marks.append(_Mark(box['bbox'], COLOURS[kind], text))
    return sorted(marks, key=lambda mark: bool(mark.text))  # mistakes above what is right


def _of_detections(report: Report, image_id: Any) -> list[_Mark]:
    shown = report.shown
    marks = []
    for found, kind, is_ignored in zip(shown.detections, shown.kinds, shown.is_ignored, strict=True):
        if found['image_id'] == image_id and not is_ignored:
            name = report.truth.coco.cats[found['category_id']]['name']
            text = f'{name} {found["score"]:.2f}, {kind}' if kind else ''
            marks.append(_Mark(found['bbox'], COLOURS[str(kind) or 'right'], text))
    return sorted(marks, key=lambda mark: bool(mark.text))


def _paint(image: np.ndarray, marks: Sequence[_Mark]) -> np.ndarray:
    """Return an image as it was read, enlarged or reduced, with marks on it, in RGB."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    longest = max(image.shape[:2])
    scale = min(max(longest, _SHORTEST), _LONGEST) / longest
    size = [max(round(scale * side), 1) for side in image.shape[1::-1]]
    pixels = mmcv.imresize(image[..., 2::-1], size, interpolation='area' if scale < 1 else 'bilinear')
    visualizer = Visualizer()
    visualizer.set_image(np.ascontiguousarray(pixels))
    for mark in marks:
        x, y, width, height = (scale * value for value in mark.bbox)
        corners = np.clip([[x, y], [x + width, y + height]], 0, np.array(size) - 1)
        box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        visualizer.draw_bboxes(box, edge_colors=mark.colour, line_widths=2.4 if mark.text else 1.2)
    for mark in marks:
        if mark.text:
            _write(visualizer, mark, scale, size)
    return visualizer.get_image()


def _write(visualizer: Visualizer, mark: _Mark, scale: float, size: Sequence[int]) -> None:
    """Write the text of a mark above its box, or inside where there is no room above."""
    x, y, width, _ = (scale * value for value in mark.bbox)
    is_right = x > 0.6 * size[0]
    is_top = y > 16
    position = np.clip([x + width if is_right else x, y], 0, np.array(size) - 1)
    visualizer.draw_texts(
        mark.text.replace('$', r'\$'), position, font_sizes=9, colors='white',
        horizontal_alignments='right' if is_right else 'left',
        vertical_alignments='bottom' if is_top else 'top',
        bboxes=dict(facecolor=mark.colour, edgecolor='none', pad=1.2))
