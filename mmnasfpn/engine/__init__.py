"""Training and testing: checks beforehand, launching, checkpoints."""
from mmnasfpn.engine.checkpoint_fit_hook import CheckpointFitHook
from mmnasfpn.engine.checkpoint_hook import AtomicCheckpointHook
from mmnasfpn.engine.drop_block_hook import DropBlockRampHook

__all__ = ['AtomicCheckpointHook', 'CheckpointFitHook', 'DropBlockRampHook']
