"""Training and testing: checks beforehand, launching, hooks, the command line."""
from mmnasfpn.engine.hooks import (
    AtomicCheckpointHook,
    AutocastHook,
    ChannelsLastHook,
    CheckpointFitHook,
    DropBlockRampHook,
    FoldNormsHook,
    LastBatchHook,
    NoDetectionsHook,
    PaintHook,
    ResumedScheduleHook,
    ResumeHook,
)

__all__ = ['AtomicCheckpointHook', 'AutocastHook', 'ChannelsLastHook', 'CheckpointFitHook',
           'DropBlockRampHook', 'FoldNormsHook', 'LastBatchHook', 'NoDetectionsHook', 'PaintHook',
           'ResumeHook', 'ResumedScheduleHook']
