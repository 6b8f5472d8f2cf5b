"""Checks made before a run: of the config, its data and its model."""
from mmnasfpn.engine.preflight.data import check_data
from mmnasfpn.engine.preflight.model import check_model, modes_restored
from mmnasfpn.engine.preflight.report import DataReport

__all__ = ['DataReport', 'check_data', 'check_model', 'modes_restored']
