"""Images with what is there and what a detector detected."""
import os
from pathlib import Path

import mmcv
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.fileio import load
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

_PER_ROW = 2  # pairs of images


def draw_predictions(predictions: str | os.PathLike[str], ann_file: str | os.PathLike[str],
                     image_dir: str | os.PathLike[str], out: str | os.PathLike[str],
                     num_images: int = 8, score_thr: float = 0.3) -> None:
    """Draw a grid of images: ground truth on the left, detections on the right of each pair.

    Args:
        predictions (str | PathLike): Pickle that ``tools/test.py --out`` wrote.
        ann_file (str | PathLike): COCO annotation file of the same images.
        image_dir (str | PathLike): Folder of the images.
        out (str | PathLike): Image to write.
        num_images (int): How many images, from the first on. Defaults to 8.
        score_thr (float): Detections of this score, in 0..1, and below are left out. Defaults to 0.3.
    """
    coco = COCO(str(ann_file))
    category_ids = coco.getCatIds()
    visualizer = DetLocalVisualizer(alpha=1)
    visualizer.dataset_meta = dict(classes=[x['name'] for x in coco.loadCats(category_ids)])
    pairs = []
    for prediction in sorted(load(str(predictions)), key=lambda p: p['img_id'])[:num_images]:
        info = coco.loadImgs(prediction['img_id'])[0]
        anns = coco.loadAnns(coco.getAnnIds(imgIds=info['id']))
        x, y, w, h = np.array([ann['bbox'] for ann in anns], dtype=np.float32).reshape(-1, 4).T
        sample = DetDataSample(
            gt_instances=InstanceData(
                bboxes=np.stack([x, y, x + w, y + h], axis=1),
                labels=np.array([category_ids.index(ann['category_id']) for ann in anns], dtype=int)),
            pred_instances=InstanceData(**prediction['pred_instances']))
        image = mmcv.imread(Path(image_dir) / info['file_name'], channel_order='rgb')
        visualizer.add_datasample(info['file_name'], image, sample, pred_score_thr=score_thr)
        pairs.append(visualizer.get_image())
    mmcv.imwrite(_grid(pairs)[..., ::-1], str(out))


def _grid(images: list[np.ndarray], margin: int = 8) -> np.ndarray:
    """Put RGB images, each (H, W, 3), on a white sheet, row by row."""
    height, width = (max(image.shape[axis] for image in images) + margin for axis in (0, 1))
    rows = -(-len(images) // _PER_ROW)
    sheet = np.full((rows * height + margin, _PER_ROW * width + margin, 3), 255, dtype=np.uint8)
    for place, image in enumerate(images):
        row, column = divmod(place, _PER_ROW)
        top, left = margin + row * height, margin + column * width
        sheet[top:top + image.shape[0], left:left + image.shape[1]] = image
    return sheet
