"""Detection heads. Needs mmdet."""
from mmnasfpn.models.dense_heads.lite_retina_head import LiteRetinaHead
from mmnasfpn.models.dense_heads.retina_heads import RetinaHead, RetinaSepBNHead

__all__ = ['LiteRetinaHead', 'RetinaHead', 'RetinaSepBNHead']
