"""Detectors as ONNX models. Needs the extra ``export``."""
from mmnasfpn.export.anytime import AnytimeOnnxDetector
from mmnasfpn.export.detector import MAX_CANDIDATES, ExportableDetector
from mmnasfpn.export.onnx_detector import OnnxDetector
from mmnasfpn.export.precision import PRECISIONS, to_fp16, to_int8
from mmnasfpn.export.tensorrt import check_for_tensorrt
from mmnasfpn.export.to_onnx import to_onnx, write_onnx

__all__ = ['MAX_CANDIDATES', 'PRECISIONS', 'AnytimeOnnxDetector', 'ExportableDetector', 'OnnxDetector',
           'check_for_tensorrt', 'to_fp16', 'to_int8', 'to_onnx', 'write_onnx']
