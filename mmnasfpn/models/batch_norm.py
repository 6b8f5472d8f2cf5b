"""Batch normalisation that does not count batches for nothing."""
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn


class BatchNorm2d(nn.BatchNorm2d):
    """PyTorch's, but for ``num_batches_tracked``, which stays as it is.

    PyTorch reads it for a momentum of None alone, a cumulative average, but counts always: an operation
    for each norm and step. Here it is counted for that alone. The key stays in the state dict.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a map, (N, C, H, W)."""
        if self.momentum is None:
            return super().forward(x)
        uses_batch = self.training or self.running_mean is None
        keeps_statistics = not self.training or self.track_running_stats
        return F.batch_norm(
            x, self.running_mean if keeps_statistics else None,
            self.running_var if keeps_statistics else None, self.weight, self.bias, uses_batch,
            self.momentum, self.eps)


def without_counter(norm_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a norm layer, with :class:`BatchNorm2d` in place of PyTorch's.

    Args:
        norm_cfg (Mapping): Normalisation, as mmcv's ``build_norm_layer`` takes it.
    """
    norm_cfg = dict(norm_cfg)
    kind = norm_cfg.get('type')
    if kind is nn.BatchNorm2d or (isinstance(kind, str) and MODELS.get(kind) is nn.BatchNorm2d):
        norm_cfg['type'] = BatchNorm2d
    return norm_cfg
