"""MMDetection's RetinaNet heads, with targets and detections of all images at once."""
from mmdet.models import dense_heads

from mmnasfpn.models.dense_heads.batched_detections import BatchedDetections
from mmnasfpn.models.dense_heads.batched_targets import BatchedTargets
from mmnasfpn.registry import MODELS


@MODELS.register_module()
class RetinaHead(BatchedTargets, BatchedDetections, dense_heads.RetinaHead):
    """MMDetection's ``RetinaHead``: the same arguments, weights, losses and detections, in fewer steps.

    A GPU gets few large operations instead of many small ones, and does not wait between them.

    Args:
        **kwargs: As for MMDetection's ``RetinaHead``.
    """


@MODELS.register_module()
class RetinaSepBNHead(BatchedTargets, BatchedDetections, dense_heads.RetinaSepBNHead):
    """MMDetection's ``RetinaSepBNHead``, as :class:`RetinaHead` is its ``RetinaHead``.

    Its levels share convolutions, but not their normalisation.

    Args:
        **kwargs: As for MMDetection's ``RetinaSepBNHead``.
    """
