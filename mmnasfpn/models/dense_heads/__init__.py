"""Detection heads. Needs mmdet."""
from mmnasfpn.models.dense_heads.lite_retina_head import LiteRetinaHead

__all__ = ['LiteRetinaHead']
