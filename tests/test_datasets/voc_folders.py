"""Small data sets in Pascal VOC's format."""
import json
from xml.etree import ElementTree

import cv2
import numpy as np


def write_voc(folder, data, list_name):
    """Write COCO's ``data`` as XML files and a list of the images."""
    (folder / 'Annotations').mkdir(parents=True, exist_ok=True)
    names = {category['id']: category['name'] for category in data['categories']}
    for image in data['images']:
        root = ElementTree.Element('annotation')
        size = ElementTree.SubElement(root, 'size')
        for key in ('width', 'height'):
            ElementTree.SubElement(size, key).text = str(image[key])
        for annotation in data['annotations']:
            if annotation['image_id'] == image['id']:
                x, y, width, height = annotation['bbox']
                thing = ElementTree.SubElement(root, 'object')
                ElementTree.SubElement(thing, 'name').text = names[annotation['category_id']]
                box = ElementTree.SubElement(thing, 'bndbox')
                # VOC's pixels count from 1, and both corners belong to the box.
                for key, value in dict(xmin=x + 1, ymin=y + 1, xmax=x + width, ymax=y + height).items():
                    ElementTree.SubElement(box, key).text = str(value)
        ElementTree.ElementTree(root).write(folder / f'Annotations/{stem(image)}.xml')
    path = folder / f'ImageSets/Main/{list_name}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{stem(image)}\n' for image in data['images']))


def stem(image):
    return image['file_name'].rpartition('.')[0]


def make_like_bccd(root, classes, num_images=(4, 6)):
    """Make a folder as BCCD's is, of black images: COCO's annotations, the images, VOC's beside them."""
    rng = np.random.default_rng(0)
    for folder in ('annotations', 'images'):
        (root / folder).mkdir(parents=True)
    for name, number in zip(('trainval', 'test'), num_images, strict=True):
        images = [dict(id=place, file_name=f'{name}_{place}.jpg', width=640, height=480)
                  for place in range(1, number + 1)]
        annotations = []
        for image in images:
            cv2.imwrite(str(root / 'images' / image['file_name']), np.zeros((480, 640, 3), np.uint8))
            for _ in range(12):
                x, y, width, height = map(int, rng.integers((0, 0, 80, 80), (400, 240, 200, 200)))
                annotations.append(dict(
                    id=len(annotations) + 1, image_id=image['id'], bbox=[x, y, width, height],
                    area=width * height, iscrowd=0, category_id=1 + len(annotations) % len(classes)))
        data = dict(images=images, annotations=annotations, categories=[
            dict(id=place, name=class_name) for place, class_name in enumerate(classes, start=1)])
        (root / f'annotations/{name}.json').write_text(json.dumps(data))
        write_voc(root / 'voc', data, name)
    return root
