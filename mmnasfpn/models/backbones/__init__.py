"""Backbones. MobileNetV2 and ResNet-10 are variants of mmdet's."""
from mmnasfpn.models.backbones.amoebanet import AmoebaNet, CellTable
from mmnasfpn.models.backbones.mobilenet_v2 import MobileNetV2
from mmnasfpn.models.backbones.resnet10 import ResNet10

__all__ = ['AmoebaNet', 'CellTable', 'MobileNetV2', 'ResNet10']
