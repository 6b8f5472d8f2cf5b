"""Training and testing: checks beforehand, launching, checkpoints."""
from mmnasfpn.engine.checkpoint_hook import AtomicCheckpointHook

__all__ = ['AtomicCheckpointHook']
