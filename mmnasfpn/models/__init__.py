"""Detector parts, registered with MMEngine under the scope ``mmnasfpn``."""
from mmnasfpn.models.necks import NASFPN

__all__ = ['NASFPN']
