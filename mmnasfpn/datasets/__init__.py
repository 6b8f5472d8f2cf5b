"""Generated shapes: a small COCO-format data set for demos, tests and proxy tasks."""
from mmnasfpn.datasets.shapes import CLASSES, make_shapes
from mmnasfpn.datasets.shapes_dataset import ShapesDataset

__all__ = ['CLASSES', 'ShapesDataset', 'make_shapes']
