"""Weights of other NAS-FPNs, for the neck of this package."""
from mmnasfpn.converters.errors import ConversionError
from mmnasfpn.converters.mmdet import convert_mmdet_checkpoint, convert_mmdet_neck
from mmnasfpn.converters.tensorflow import convert_tf_neck, read_tf_variables

__all__ = ['ConversionError', 'convert_mmdet_checkpoint', 'convert_mmdet_neck', 'convert_tf_neck',
           'read_tf_variables']
