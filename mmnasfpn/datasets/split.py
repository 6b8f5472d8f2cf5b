"""Hold images out of a COCO-format data set."""
import json
import os
import random
from pathlib import Path

from mmnasfpn._checks import check_whole_number
from mmnasfpn._files import write_text

#: Images of COCO's train2017 that the paper holds out for the reward (section 4.2).
NUM_HELD_OUT = 7392


def split_coco(ann_file: str | os.PathLike[str], train_file: str | os.PathLike[str],
               held_out_file: str | os.PathLike[str], num_held_out: int = NUM_HELD_OUT,
               seed: int = 0) -> tuple[int, int]:
    """Split an annotation file in two: images to train with, and images held out.

    Which are held out depends on the seed and on the ids of the images alone, not on their order.
    Everything else of the file, such as categories, is in both. No image is copied.

    Args:
        ann_file (str | PathLike): Annotation file in COCO format.
        train_file (str | PathLike): Annotation file to write, of the other images.
        held_out_file (str | PathLike): Annotation file to write, of the images held out.
        num_held_out (int): How many images to hold out. Defaults to 7,392, as the paper does.
        seed (int): Seed of the choice. Defaults to 0.

    Returns:
        tuple[int, int]: Number of images in each.

    Raises:
        FileNotFoundError: If there is no such annotation file.
        ValueError: If it is not in COCO format, has too few images, or would be overwritten.
    """
    check_whole_number('num_held_out', num_held_out, 1)
    check_whole_number('seed', seed, 0)
    paths = [Path(path) for path in (ann_file, train_file, held_out_file)]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError(f'ann_file, train_file and held_out_file are {", ".join(map(str, paths))}, but '
                         'must be three different files')
    if not paths[0].is_file():
        raise FileNotFoundError(f'ann_file is {os.fspath(ann_file)!r}, but there is no such file')
    try:
        data = json.loads(paths[0].read_bytes())
        ids = sorted(image['id'] for image in data['images'])
        annotations = [(ann['image_id'], ann) for ann in data['annotations']]
        hash(tuple(ids)), data['categories']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{ann_file} is not in COCO format ({error!r}): it must be a JSON object with '
                         'images, annotations and categories') from None
    if len(ids) <= num_held_out:
        raise ValueError(f'{ann_file} has {len(ids)} images, but {num_held_out} are to be held out, '
                         'which leaves none to train with: hold out fewer')
    held_out = set(random.Random(seed).sample(ids, num_held_out))
    for path, is_held_out in ((paths[1], False), (paths[2], True)):
        images = [image for image in data['images'] if (image['id'] in held_out) == is_held_out]
        kept = [ann for image, ann in annotations if (image in held_out) == is_held_out]
        write_text(path, json.dumps({**data, 'images': images, 'annotations': kept}))
    return len(ids) - num_held_out, num_held_out
