"""Detectors as ONNX models. Needs the extra ``export``."""
from mmnasfpn.export.detector import MAX_CANDIDATES, ExportableDetector
from mmnasfpn.export.onnx_detector import OnnxDetector
from mmnasfpn.export.to_onnx import to_onnx

__all__ = ['MAX_CANDIDATES', 'ExportableDetector', 'OnnxDetector', 'to_onnx']
