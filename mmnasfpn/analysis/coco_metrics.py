"""What is reported of COCO's metrics."""
from collections.abc import Mapping

#: Names in tables, and what MMDetection's CocoMetric calls them.
METRICS: Mapping[str, str] = {
    'AP': 'coco/bbox_mAP', 'AP50': 'coco/bbox_mAP_50', 'AP75': 'coco/bbox_mAP_75',
    'AP small': 'coco/bbox_mAP_s', 'AP medium': 'coco/bbox_mAP_m', 'AP large': 'coco/bbox_mAP_l'}
