"""Detectors. Needs mmdet."""
from mmnasfpn.models.detectors.anytime import AnytimeDetector

__all__ = ['AnytimeDetector']
