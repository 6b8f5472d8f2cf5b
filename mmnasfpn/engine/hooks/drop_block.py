"""Ramp DropBlock in over a run."""
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnasfpn.models.necks import DropBlock
from mmnasfpn.registry import HOOKS


@HOOKS.register_module()
class DropBlockRampHook(Hook):
    """Raise the dropping of every :class:`DropBlock` linearly from nothing to all of it.

    It follows the iteration of the run, which is part of the checkpoint: a resumed run continues
    where it stopped.

    Args:
        ramp (float): Share of the run, in (0, 1], after which all of the dropping is in force.
            Defaults to 1, as DropBlock's authors do it.

    Raises:
        ValueError: If ``ramp`` is impossible, or, when training starts, if the model has no
            DropBlock.
    """

    def __init__(self, ramp: float = 1.0) -> None:
        if not 0 < ramp <= 1:
            raise ValueError(f'ramp is {ramp!r}, but must be above 0 and at most 1, a share of the run')
        self.ramp = ramp
        self._layers: list[DropBlock] = []

    def before_train(self, runner: Runner) -> None:
        """Find the layers."""
        self._layers = [m for m in runner.model.modules() if isinstance(m, DropBlock)]
        if not self._layers:
            raise ValueError('DropBlockRampHook found no DropBlock in the model: give the neck '
                             'dropblock_cfg=dict(keep_prob=0.9, block_size=3), or leave the hook out')

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Set the progress of this iteration, counted from 0."""
        progress = min(1.0, runner.iter / (self.ramp * runner.max_iters))
        for layer in self._layers:
            layer.progress.fill_(progress)
