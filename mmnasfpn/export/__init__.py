"""Detectors as ONNX models. Needs the extra ``export``."""
from mmnasfpn.export.detector import MAX_CANDIDATES, ExportableDetector
from mmnasfpn.export.onnx_detector import OnnxDetector
from mmnasfpn.export.precision import PRECISIONS, to_fp16, to_int8
from mmnasfpn.export.to_onnx import to_onnx, write_onnx

__all__ = ['MAX_CANDIDATES', 'PRECISIONS', 'ExportableDetector', 'OnnxDetector', 'to_fp16', 'to_int8',
           'to_onnx', 'write_onnx']
