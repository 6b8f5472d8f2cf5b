"""Necks. Needs MMEngine and ``mmcv.cnn``, not mmdet nor mmcv's compiled ops."""
from mmnasfpn.models.necks.base import PyramidNeck
from mmnasfpn.models.necks.drop_block import DropBlock
from mmnasfpn.models.necks.fpn import FPN
from mmnasfpn.models.necks.merging_cell import MergingCellModule
from mmnasfpn.models.necks.nasfpn import NASFPN
from mmnasfpn.models.necks.pyramid_network import PyramidNetwork
from mmnasfpn.models.necks.super_nasfpn import SuperNASFPN

__all__ = ['FPN', 'NASFPN', 'DropBlock', 'MergingCellModule', 'PyramidNeck', 'PyramidNetwork',
           'SuperNASFPN']
