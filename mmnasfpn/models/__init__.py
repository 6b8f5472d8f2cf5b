"""Detector parts, registered with MMEngine under the scope ``mmnasfpn``.

The necks import nothing of mmdet; ``mmnasfpn.models.backbones`` and ``mmnasfpn.models.dense_heads`` do.
"""
from mmnasfpn.models.necks import FPN, NASFPN

__all__ = ['FPN', 'NASFPN']
