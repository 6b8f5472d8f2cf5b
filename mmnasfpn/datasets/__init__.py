"""Data sets: generated shapes, a hold-out split, checks and repairs of annotation files."""
from mmnasfpn.datasets.annotation_rules import Use, check_annotations
from mmnasfpn.datasets.annotations import AnnotationError, Annotations, Fault, read_annotations
from mmnasfpn.datasets.fix import fix_annotations
from mmnasfpn.datasets.image_rules import check_images
from mmnasfpn.datasets.shapes import CLASSES, make_shapes
from mmnasfpn.datasets.shapes_dataset import ShapesDataset

__all__ = ['CLASSES', 'AnnotationError', 'Annotations', 'Fault', 'ShapesDataset', 'Use',
           'check_annotations', 'check_images', 'fix_annotations', 'make_shapes', 'read_annotations']
