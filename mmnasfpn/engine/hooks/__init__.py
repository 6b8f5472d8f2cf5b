"""Hooks of training and testing."""
from mmnasfpn.checkpoints.atomic import AtomicCheckpointHook
from mmnasfpn.checkpoints.fit import CheckpointFitHook
from mmnasfpn.engine.hooks.compile import CompileHook
from mmnasfpn.engine.hooks.drop_block import DropBlockRampHook
from mmnasfpn.engine.hooks.last_batch import LastBatchHook
from mmnasfpn.engine.hooks.no_detections import NoDetectionsHook
from mmnasfpn.engine.hooks.paint import PaintHook
from mmnasfpn.engine.hooks.resume import ResumeHook
from mmnasfpn.engine.hooks.schedule import ResumedScheduleHook
from mmnasfpn.engine.hooks.speed import AutocastHook, ChannelsLastHook, FoldNormsHook

__all__ = ['AtomicCheckpointHook', 'AutocastHook', 'ChannelsLastHook', 'CheckpointFitHook',
           'CompileHook', 'DropBlockRampHook', 'FoldNormsHook', 'LastBatchHook', 'NoDetectionsHook',
           'PaintHook', 'ResumeHook', 'ResumedScheduleHook']
