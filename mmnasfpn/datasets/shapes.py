"""Draw the shapes data set: images and COCO annotations from a seed."""
import json
import math
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from mmnasfpn._checks import check_whole_number

#: The classes, in the order of their COCO category ids 1, 2, ...
CLASSES = ('circle', 'square', 'triangle')
#: Smallest and largest longer side of an object's box, in pixels.
OBJECT_SIZES = (12, 110)

_NUM_OBJECTS = (3, 10)  # fewer where there is no room
_MAX_TURN = math.radians(20)
_MARGIN = 2  # pixels between the boxes of two objects, and between a box and the border
_OVERSAMPLING = 4  # for smooth edges


def make_shapes(root: str | os.PathLike[str], num_train: int = 400, num_val: int = 100,
                image_size: int = 256, seed: int = 0) -> Path:
    """Write the shapes data set, unless it is there already.

    Each image shows up to ten objects of three classes, 12 to 110 pixels large, tilted by up to
    20 degrees, of any colour, on a textured background; their boxes do not overlap. An image
    depends on the seed, its split and its number alone. The folder appears only when it is
    complete, so that two calls at once agree and none leaves it half-made; what a killed one leaves
    beside it ends in ``.unfinished-<process>`` and may be deleted.

    Args:
        root (str | PathLike): Folder to make: ``annotations/{train,val}.json`` (boxes, areas and
            polygons), ``{train,val}/000001.jpg`` and so on, and ``shapes.json``, the arguments.
        num_train (int): Images in the training split. Defaults to 400.
        num_val (int): Images in the held-out split. Defaults to 100.
        image_size (int): Height and width in pixels, at least 128. Defaults to 256.
        seed (int): Any whole number of at least 0. Defaults to 0.

    Returns:
        Path: ``root``.

    Raises:
        ValueError: If an argument is out of its range.
        FileExistsError: If ``root`` holds something else or was made with other arguments.
    """
    root = Path(root)
    arguments = dict(num_train=num_train, num_val=num_val, image_size=image_size, seed=seed)
    for (name, value), least in zip(arguments.items(), (1, 1, 128, 0), strict=True):
        check_whole_number(name, value, least)
    if _is_made(root, arguments):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = root.with_name(f'{root.name}.unfinished-{os.getpid()}')
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for split, (name, number) in enumerate((('train', num_train), ('val', num_val))):
            _write_split(unfinished, name, number, image_size, [seed, split])
        (unfinished / 'shapes.json').write_text(json.dumps(arguments))
        try:
            unfinished.rename(root)
        except OSError:  # another process was faster
            if not _is_made(root, arguments):
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return root


def _is_made(root: Path, arguments: dict[str, int]) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / 'shapes.json').read_text())
    except (OSError, ValueError):
        found = None
    if found != arguments:
        what = 'something else' if found is None else f'shapes made with {found}'
        raise FileExistsError(f'{root} holds {what}, not shapes made with {arguments}: delete it or '
                              'choose another folder')
    return True


def _write_split(root: Path, split: str, number: int, image_size: int, seed: list[int]) -> None:
    (root / split).mkdir(parents=True)
    (root / 'annotations').mkdir(exist_ok=True)
    images: list[dict] = []
    annotations: list[dict] = []
    for image_id in track(range(1, number + 1), description=f'Drawing {split} shapes'):
        rng = np.random.default_rng([*seed, image_id])
        image, objects = draw_image(rng, image_size)
        file_name = f'{image_id:06d}.jpg'
        if not cv2.imwrite(str(root / split / file_name), image, [cv2.IMWRITE_JPEG_QUALITY, 95]):
            raise OSError(f'cannot write {root / split / file_name}: is the disk full?')
        images.append(dict(id=image_id, file_name=file_name, height=image_size, width=image_size))
        for category, corners in objects:
            annotations.append(dict(id=len(annotations) + 1, image_id=image_id,
                                    category_id=category + 1, iscrowd=0, **_geometry(corners)))
    categories = [dict(id=i, name=name, supercategory='shape') for i, name in enumerate(CLASSES, 1)]
    (root / 'annotations' / f'{split}.json').write_text(json.dumps(
        dict(images=images, annotations=annotations, categories=categories)))


def _geometry(corners: np.ndarray) -> dict:
    x, y = corners.T
    left, top, right, bottom = x.min(), y.min(), x.max(), y.max()
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    return dict(bbox=[round(float(v), 2) for v in (left, top, right - left, bottom - top)],
                area=round(float(area), 2),
                segmentation=[[round(float(v), 2) for v in corners.ravel()]])


def draw_image(rng: np.random.Generator,
                 size: int) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """Draw one image.

    Args:
        rng (Generator): Where all randomness comes from.
        size (int): Height and width in pixels.

    Returns:
        tuple: The image, uint8 BGR of shape (size, size, 3), and its objects as pairs of class
        index and corners, float of shape (K, 2), x and y in pixels.
    """
    image = _background(rng, size)
    boxes: list[np.ndarray] = []
    objects = []
    for _ in range(rng.integers(_NUM_OBJECTS[0], _NUM_OBJECTS[1] + 1)):
        if (placed := _place(rng, size, boxes)) is not None:
            objects.append(placed)
            _paint(rng, image, placed[1])
    return image, objects


def _place(rng: np.random.Generator, size: int,
           boxes: list[np.ndarray]) -> tuple[int, np.ndarray] | None:
    """Find room for one more object; the first one always gets some."""
    for _ in range(30):
        category = int(rng.integers(len(CLASSES)))
        longer_side = rng.uniform(*np.sqrt(OBJECT_SIZES)) ** 2  # more small ones than large ones
        corners = _OUTLINES[CLASSES[category]] @ _rotation(rng.uniform(-_MAX_TURN, _MAX_TURN))
        corners = (corners - corners.min(axis=0)) / np.ptp(corners, axis=0).max() * longer_side
        extent = corners.max(axis=0)
        corners += rng.uniform(_MARGIN, size - _MARGIN - extent)
        box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        if all(_apart(box, other) for other in boxes):
            boxes.append(box)
            return category, corners
    return None


def _apart(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(((one[2:] + _MARGIN < other[:2]) | (other[2:] + _MARGIN < one[:2])).any())


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _regular(corners: int, first_angle: float) -> np.ndarray:
    angles = first_angle + np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


_OUTLINES = dict(circle=_regular(48, 0), square=_regular(4, np.pi / 4),
                 triangle=_regular(3, -np.pi / 2))


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Smooth coloured noise of several grain sizes around a mid tone."""
    image = np.full((size, size, 3), rng.uniform(70, 180, 3), dtype=np.float32)
    for grain, strength in ((64, 30), (16, 15), (4, 8)):
        cells = -(-size // grain) + 1
        noise = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        noise = cv2.resize(noise, (cells * grain, cells * grain), interpolation=cv2.INTER_CUBIC)
        image += noise[:size, :size]
    image += rng.normal(0, 4, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def _paint(rng: np.random.Generator, image: np.ndarray, corners: np.ndarray) -> None:
    """Fill the outline with a noisy colour that stands out from what is behind it."""
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
    behind = image[top:bottom, left:right]
    mean = behind.reshape(-1, 3).mean(axis=0)
    colour = rng.uniform(0, 255, 3)
    while np.abs(colour - mean).max() < 60:
        colour = rng.uniform(0, 255, 3)
    rows, columns = behind.shape[:2]
    mask = np.zeros((rows * _OVERSAMPLING, columns * _OVERSAMPLING), np.uint8)
    # Pixel j covers [j, j + 1), and cv2 means the pixel's centre by j.
    fine = np.round((corners - (left, top)) * _OVERSAMPLING - 0.5).astype(np.int32)
    cv2.fillPoly(mask, [fine], 255)
    mask = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA)
    opacity = mask[..., None].astype(np.float32) / 255
    texture = colour + rng.normal(0, 10, behind.shape)
    behind[:] = (behind * (1 - opacity) + texture * opacity).clip(0, 255).astype(np.uint8)
