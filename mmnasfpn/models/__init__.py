"""Detector parts, registered with MMEngine under the scope ``mmnasfpn``.

``mmnasfpn.models.necks`` alone needs no mmdet.
"""
