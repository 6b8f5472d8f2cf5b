"""The shapes data set as a dataset of MMDetection."""
from typing import Any

from mmdet.datasets import CocoDataset

from mmnasfpn.datasets.shapes import CLASSES, make_shapes
from mmnasfpn.registry import DATASETS


@DATASETS.register_module()
class ShapesDataset(CocoDataset):
    """Generated shapes; draws them first where ``data_root`` does not hold them yet.

    Args:
        data_root (str): Folder of the shapes.
        shapes (dict | None): Further arguments of :func:`mmnasfpn.datasets.make_shapes`.
            Defaults to None, its defaults.
        **kwargs: Arguments of :class:`mmdet.datasets.CocoDataset`.

    Raises:
        FileExistsError: If ``data_root`` holds something else or other shapes.
    """

    METAINFO = dict(classes=CLASSES, palette=[(230, 80, 60), (60, 140, 230), (70, 180, 90)])

    def __init__(self, *args: Any, data_root: str, shapes: dict | None = None,
                 **kwargs: Any) -> None:
        make_shapes(data_root, **(shapes or {}))
        super().__init__(*args, data_root=data_root, **kwargs)
