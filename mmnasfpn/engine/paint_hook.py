"""Paint detections where images of one name do not overwrite each other."""
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet.engine.hooks import DetVisualizationHook
from mmdet.structures import DetDataSample
from mmengine.runner import Runner

from mmnasfpn.registry import HOOKS


@HOOKS.register_module()
class PaintHook(DetVisualizationHook):
    """MMDetection's hook, but images are painted below ``test_out_dir`` as they lie in the data set.

    Where all images of the test set lie in one folder, they are painted straight into ``test_out_dir``,
    as MMDetection does with all. Otherwise the folders below the lowest that holds them all are kept.

    Takes the arguments of MMDetection's ``DetVisualizationHook``.
    """

    test_out_dir: str | None
    _root: str | None = None

    def before_test_epoch(self, runner: Runner) -> None:
        """Find the folder that holds all images."""
        if self.draw and self.test_out_dir is not None:
            self._root = _common_folder(runner.test_dataloader.dataset)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                        outputs: Sequence[DetDataSample] | None = None) -> None:
        """Paint a batch."""
        out_dir = self.test_out_dir
        if self._root is None or out_dir is None or outputs is None:
            super().after_test_iter(runner, batch_idx, data_batch, outputs)
            return
        for sample in outputs:
            folder = os.path.dirname(os.path.abspath(sample.img_path))
            self.test_out_dir = str(Path(out_dir) / os.path.relpath(folder, self._root))
            super().after_test_iter(runner, batch_idx, data_batch, [sample])
        self.test_out_dir = out_dir


def _common_folder(dataset: Any) -> str | None:
    """Return the lowest folder that holds all images, or None if the data set does not name them."""
    try:
        folders = {os.path.dirname(os.path.abspath(dataset.get_data_info(index)['img_path']))
                   for index in range(len(dataset))}
    except (AttributeError, KeyError, TypeError):  # of another kind than MMDetection's
        return None
    return os.path.commonpath(folders) if folders else None
