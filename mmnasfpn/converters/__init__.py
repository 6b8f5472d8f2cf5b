"""Weights of other NAS-FPNs and of Keras's MobileNetV2, for the models of this package."""
from mmnasfpn.converters.errors import ConversionError
from mmnasfpn.converters.keras import convert_keras_mobilenetv2, read_keras_variables
from mmnasfpn.converters.mmdet import convert_mmdet_checkpoint, convert_mmdet_neck
from mmnasfpn.converters.tensorflow import convert_tf_neck, read_tf_variables

__all__ = ['ConversionError', 'convert_keras_mobilenetv2', 'convert_mmdet_checkpoint',
           'convert_mmdet_neck', 'convert_tf_neck', 'read_keras_variables', 'read_tf_variables']
