"""Find what is wrong with the batches of a training before it comes to them."""
import copy
import random
from functools import partial
from typing import Any

import numpy as np
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler, MultiSourceSampler
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import BatchSampler

from mmnasfpn.checkpoints.fit import unwrapped
from mmnasfpn.engine.preflight import modes_restored
from mmnasfpn.registry import HOOKS


@HOOKS.register_module()
class LastBatchHook(Hook):
    """Refuse, before the first step, no batch at all, or one that batch normalisation cannot train on.

    Of one image, a map of 1x1, as the coarsest level of a small image is, has a single value for each
    channel, and no variance. PyTorch refuses that, perhaps only at the end of the first epoch, where the
    last batch has what is left over. Where the maps are larger, a warning says that there is such a
    batch; nothing is said where all batches have one image.

    Raises:
        ValueError: When training starts, if it would fail.
    """

    def before_train(self, runner: Runner) -> None:
        """Look for such a batch, and what the norms would see of it."""
        loader: Any = runner.train_dataloader
        _refuse_no_batches(loader)
        if runner.iter >= runner.max_iters or not _has_batch_of_one(loader, runner.max_iters):
            return
        model = unwrapped(runner.model)
        norms = _norms_in_training(model)
        if not norms:
            return
        batch_size = loader.batch_sampler.batch_size
        if batch_size == 1:
            batch, advice = 'batch_size is 1', 'set a batch_size of at least 2'
        else:
            images = len(loader.batch_sampler.sampler)
            batch = (f'the last batch of each epoch has 1 image, of {images} images with a '
                     f'batch_size of {batch_size}')
            drop = 'drop_last=True'
            if loader.batch_size is None:  # that is the batch sampler's own
                drop = f'batch_sampler=dict({drop})'
            advice = f'set another batch_size, or leave it out by train_dataloader=dict({drop})'
            if images == 1:  # which would leave out all
                advice = 'give it more images'
        if get_world_size() > 1:
            batch += ' in each process'
        single = [name for name, values in _values_of_one_image(model, loader.dataset, norms).items()
                  if values == 1]
        if single:
            raise ValueError(
                f'train_dataloader: {batch}, and of that {len(single)} layers of batch normalisation '
                f'({single[0]}, ...) would see 1 value for each channel, too few to be trained on: '
                f"{advice}, or use norm_cfg=dict(type='GN', num_groups=...) in the model")
        if batch_size > 1:
            runner.logger.warning(f'train_dataloader: {batch}, so that the statistics of batch '
                                  f'normalisation are poor there: {advice}')


def _refuse_no_batches(loader: Any) -> None:
    try:
        if len(loader) > 0:
            return
        images = len(loader.batch_sampler.sampler)
    except TypeError:  # a stream
        return
    batch_size = loader.batch_sampler.batch_size
    raise ValueError(
        'train_dataloader: there is not a single batch, since drop_last leaves out all of the '
        f'{images} images of a process where batch_size is {batch_size}: set a smaller batch_size, or '
        'drop_last=False')


def _has_batch_of_one(loader: Any, max_iters: int) -> bool:
    """Return whether a batch of one image is among those that the training comes to."""
    batches = loader.batch_sampler
    if type(batches) not in (BatchSampler, AspectRatioBatchSampler):
        return False  # of a kind that may do anything
    if batches.batch_size == 1:
        return True
    if batches.drop_last or isinstance(batches.sampler, InfiniteSampler | MultiSourceSampler):
        return False
    try:
        images = len(batches.sampler)  # of this process
    except TypeError:  # a stream
        return False
    return images % batches.batch_size == 1 and max_iters >= len(batches)


def _norms_in_training(model: nn.Module) -> dict[str, nn.Module]:
    """Return the batch norms by name that use the statistics of each process's batch."""
    with modes_restored(model):
        model.train()  # which leaves out what is frozen
        return {name: module for name, module in model.named_modules()
                if isinstance(module, _BatchNorm) and module.training
                and not (isinstance(module, nn.SyncBatchNorm) and get_world_size() > 1)}


def _values_of_one_image(model: Any, dataset: Any, norms: dict[str, nn.Module]) -> dict[str, int]:
    """Return how many values of a training image each norm sees, where that can be found out.

    Neither the model, the data set nor random numbers are changed.
    """
    seen: dict[str, int] = {}

    def note(name: str, norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        values = inputs[0].numel() // inputs[0].shape[1]
        seen[name] = min(values, seen.get(name, values))

    handles = [norm.register_forward_hook(partial(note, name)) for name, norm in norms.items()]
    states = random.getstate(), np.random.get_state()
    try:
        with torch.no_grad(), torch.random.fork_rng([]), modes_restored(model):
            sample = copy.deepcopy(dataset)[0]
            batch = copy.deepcopy(model.data_preprocessor)(
                dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]), True)
            model.eval()
            maps = model.extract_feat(torch.zeros_like(batch['inputs']))
            for name in ('bbox_head', 'rpn_head'):
                if hasattr(model, name):
                    getattr(model, name)(maps)
    except Exception:  # of data or models of another form, of which nothing can be said
        pass
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for handle in handles:
            handle.remove()
    return seen
