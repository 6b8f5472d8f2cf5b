"""Detectors. Needs mmdet."""
from mmnasfpn.models.detectors.anytime import AnytimeDetector
from mmnasfpn.models.detectors.deadlines import KeepsDeadlines
from mmnasfpn.models.detectors.exits import current_name, is_of_an_exit

__all__ = ['AnytimeDetector', 'KeepsDeadlines', 'current_name', 'is_of_an_exit']
