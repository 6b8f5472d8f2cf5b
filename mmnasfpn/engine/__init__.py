"""Training and testing: checks beforehand, launching, checkpoints."""
from mmnasfpn.engine.checkpoint_fit_hook import CheckpointFitHook
from mmnasfpn.engine.checkpoint_hook import AtomicCheckpointHook
from mmnasfpn.engine.drop_block_hook import DropBlockRampHook
from mmnasfpn.engine.last_batch_hook import LastBatchHook
from mmnasfpn.engine.no_detections_hook import NoDetectionsHook
from mmnasfpn.engine.paint_hook import PaintHook
from mmnasfpn.engine.resume_hook import ResumeHook
from mmnasfpn.engine.schedule_hook import ResumedScheduleHook
from mmnasfpn.engine.speed_hooks import AutocastHook, ChannelsLastHook, FoldNormsHook

__all__ = ['AtomicCheckpointHook', 'AutocastHook', 'ChannelsLastHook', 'CheckpointFitHook',
           'DropBlockRampHook', 'FoldNormsHook', 'LastBatchHook', 'NoDetectionsHook', 'PaintHook',
           'ResumeHook', 'ResumedScheduleHook']
