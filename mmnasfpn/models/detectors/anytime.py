"""Anytime detection: heads on every stack, and a real early exit (section 3.2)."""
import copy
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from numbers import Real
from typing import Any

import torch
from mmdet.models.detectors import SingleStageDetector
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.model import ModuleDict
from torch import Tensor

from mmnasfpn.models.dense_heads.batched_targets import share_targets
from mmnasfpn.models.detectors.calibration import machine_of, model_of
from mmnasfpn.models.detectors.deadlines import KeepsDeadlines
from mmnasfpn.models.detectors.exits import NormPerExit, give_norms_per_exit, rename_old_norms
from mmnasfpn.models.necks import NASFPN
from mmnasfpn.registry import MODELS

#: How the exits share a head.
HEADS = ('shared', 'own_norms', 'separate')


@MODELS.register_module()
class AnytimeDetector(KeepsDeadlines, SingleStageDetector):
    """A single-stage detector that can stop after any stack of its NAS-FPN neck.

    A head after each of the ``exits`` finds the objects in the pyramid of that stack. All of them are
    trained at once (deep supervision); the log names their losses, e.g. ``exit3.loss_cls``. At
    inference one stack is the exit: what comes after it is not computed. Exit k is, bit for bit, the
    plain detector of k stacks with the same weights, and ``exits=[stack_times]`` is the plain
    detector.

    ``test_cfg.exit_stack`` is the exit of :meth:`predict` and of ``mode='tensor'``: in the config, by
    ``--cfg-options model.test_cfg.exit_stack=1``, or on the built model
    (``model.test_cfg.exit_stack = 1``). Without it, it is the last one.

    The head after the last exit is ``bbox_head``, as in the plain detector. Those after the others are
    ``exit_heads.<exit>`` with ``heads='separate'``, else ``bbox_head`` as well. With
    ``heads='own_norms'``, each of its norms is a :class:`NormPerExit`.

    Args:
        backbone (Mapping): Config of the backbone.
        neck (Mapping): Config of the neck, a ``mmnasfpn.NASFPN``.
        bbox_head (Mapping): Config of the head, any single-stage one.
        exits (Sequence[int] | None): The stacks that have a head, counted from 1, in rising order.
            Defaults to None, all of them.
        heads (str): ``'shared'``, one head for all exits; ``'own_norms'``, one head whose norms each
            exit has of its own, as RetinaNet's levels have in the paper's models, since the statistics
            of batch normalisation differ from exit to exit; or ``'separate'``, a head for each exit.
            Defaults to ``'own_norms'``.
        loss_weights (Sequence[float] | None): For each exit, the factor of its losses; not negative.
            Defaults to None, 1 each.
        train_cfg (Mapping | None): As MMDetection's ``SingleStageDetector`` takes it.
        test_cfg (Mapping | None): As there, and ``exit_stack``.
        data_preprocessor (Mapping | None): As there.
        init_cfg (Mapping | Sequence | None): As there.

    Raises:
        ValueError: If the neck gives no pyramid for each stack, or ``exits``, ``heads``,
            ``loss_weights`` or ``exit_stack`` are impossible.
    """

    def __init__(self, backbone: Mapping[str, Any], neck: Mapping[str, Any],
                 bbox_head: Mapping[str, Any], exits: Sequence[int] | None = None,
                 heads: str = 'own_norms', loss_weights: Sequence[float] | None = None,
                 train_cfg: Mapping[str, Any] | None = None,
                 test_cfg: Mapping[str, Any] | None = None,
                 data_preprocessor: Mapping[str, Any] | None = None,
                 init_cfg: Mapping[str, Any] | Sequence | None = None) -> None:
        test_cfg = ConfigDict(test_cfg or {})  # so that an attribute of the built model's can be set
        super().__init__(backbone, neck, copy.deepcopy(bbox_head), train_cfg, test_cfg,
                         data_preprocessor, init_cfg)
        built = getattr(self, 'neck', None)
        if not hasattr(built, 'iter_pyramids'):
            raise ValueError(f'the neck is a {type(built).__name__}, but must be a mmnasfpn.NASFPN, '
                             'which gives a pyramid for each stack')
        self.exits = _check_exits(exits, self.neck.stack_times)
        self.loss_weights = _check_loss_weights(loss_weights, self.exits)
        if heads not in HEADS:
            raise ValueError(f'heads is {heads!r}, but must be one of {", ".join(map(repr, HEADS))}')
        head_cfg = {**bbox_head, 'train_cfg': train_cfg, 'test_cfg': test_cfg}
        early = self.exits[:-1] if heads == 'separate' else ()
        self.exit_heads = ModuleDict({str(k): MODELS.build(copy.deepcopy(head_cfg)) for k in early})
        if heads == 'own_norms' and len(self.exits) > 1:
            give_norms_per_exit(self.bbox_head, self.exits)
        self.register_load_state_dict_pre_hook(rename_old_norms)
        for network in self.neck.pyramids[self.exits[-1]:]:
            network.requires_grad_(False)  # never run: distributed training would wait for gradients
        self._check_exit(self.exit_stack)

    def head_of(self, exit_stack: int) -> Any:
        """Return the head after a stack.

        Where exits share it but for the norms, it has those of this exit until the next call.

        Args:
            exit_stack (int): One of the exits.

        Raises:
            ValueError: If there is no head after that stack.
        """
        self._check_exit(exit_stack)
        if str(exit_stack) in self.exit_heads:
            return self.exit_heads[str(exit_stack)]
        for norm in self._norms_per_exit():
            norm.exit_stack = exit_stack
        return self.bbox_head

    def init_weights(self) -> None:
        """Initialise as MMDetection does; norms of the other exits like those of the last one."""
        super().init_weights()
        for norms in self._norms_per_exit():
            *others, last = norms.values()
            for norm in others:
                norm.load_state_dict(last.state_dict())

    def _norms_per_exit(self) -> list[NormPerExit]:
        return [module for module in self.bbox_head.modules() if isinstance(module, NormPerExit)]

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Any]:
        """Calculate the losses of every exit.

        Args:
            batch_inputs (Tensor): Images, (N, 3, H, W), normalised.
            batch_data_samples (list[DetDataSample]): Their ground truth.

        Returns:
            dict: Each of the head's losses for each exit, ``exit<stack>.<name>``, times the exit's
            weight. Values whose names do not contain "loss" are not weighted.
        """
        losses = {}
        weights = dict(zip(self.exits, self.loss_weights, strict=True))
        with share_targets():  # which do not depend on what an exit predicts
            for exit_stack, pyramid in self._pyramids(batch_inputs, self.exits):
                for name, value in self.head_of(exit_stack).loss(pyramid, batch_data_samples).items():
                    losses[f'exit{exit_stack}.{name}'] = (
                        _times(weights[exit_stack], value) if 'loss' in name else value)
        return losses

    def predict(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample],
                rescale: bool = True) -> list[DetDataSample]:
        """Detect at the exit in force; nothing after it is computed.

        Args:
            batch_inputs (Tensor): Images, (N, 3, H, W), normalised.
            batch_data_samples (list[DetDataSample]): Their meta information: sizes.
            rescale (bool): Give boxes in pixels of the original image, not of the input. Defaults
                to True.

        Returns:
            list[DetDataSample]: The data samples, with ``pred_instances``: ``bboxes`` (x1, y1, x2,
            y2) in pixels, ``scores`` in 0..1, ``labels``.

        Raises:
            ValueError: If there is no head after ``test_cfg.exit_stack``.
        """
        pyramid = self.extract_feat(batch_inputs)
        results = self.head_of(self.exit_stack).predict(pyramid, batch_data_samples, rescale=rescale)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the pyramid at the exit in force, as the neck does."""
        self._check_exit(self.exit_stack)
        _, pyramid = next(self._pyramids(batch_inputs, [self.exit_stack]))
        return pyramid

    @torch.no_grad()
    def anytime(self, inputs: Tensor | Mapping[str, Any],
                data_samples: Sequence[DetDataSample] | None = None,
                rescale: bool = True) -> Iterator[tuple[int, list[DetDataSample]]]:
        """Yield the detections of each exit as soon as they are computed, the first exit's first.

        What comes after an exit is computed only when the next one is requested: leave the loop to stop.

        Args:
            inputs (Tensor | Mapping): Images, (N, 3, H, W), normalised; or a batch of a data loader, as
                ``test_step`` takes it, which is preprocessed first.
            data_samples (Sequence[DetDataSample] | None): With a tensor: meta information of the
                images. Defaults to None: they fill the tensor and are not resized.
            rescale (bool): As in :meth:`predict`. Defaults to True.

        Yields:
            tuple[int, list[DetDataSample]]: The exit, and for each image its data sample with
            ``pred_instances``, new ones for each exit.

        Raises:
            RuntimeError: If the model is in training mode. As all errors, raised by the first ``next``.
            ValueError: If the inputs are of another kind, or not as many as the data samples.

        Example:
            >>> for exit_stack, detections in model.anytime(batch):  # doctest: +SKIP
            ...     if time.monotonic() > deadline:
            ...         break
        """
        batch_inputs, samples = self._prepare(inputs, data_samples)
        yield from self._detect(batch_inputs, samples, self.exits, rescale)

    def machine(self) -> dict[str, Any]:
        """Return what the speed depends on, as :func:`machine_of` does."""
        return machine_of(next(self.parameters()).device)

    def identity(self) -> dict[str, Any]:
        """Return what identifies it, as :func:`model_of` does."""
        return model_of(self)

    @torch.no_grad()
    def predict_within(self, inputs: Tensor | Mapping[str, Any], deadline_ms: float,
                       data_samples: Sequence[DetDataSample] | None = None,
                       rescale: bool = True) -> tuple[int, list[DetDataSample]]:
        """Detect at the deepest exit that takes no longer than the deadline, by the calibration.

        Where none is fast enough, the first exit is taken, with a warning the first time.

        Args:
            inputs (Tensor | Mapping): As in :meth:`anytime`.
            deadline_ms (float): Milliseconds from now, preprocessing and NMS included.
            data_samples (Sequence[DetDataSample] | None): As in :meth:`anytime`.
            rescale (bool): As in :meth:`anytime`.

        Returns:
            tuple[int, list[DetDataSample]]: As :meth:`anytime` yields.

        Raises:
            RuntimeError: If no calibration has been loaded, or the model is in training mode.
            ValueError: If the deadline is not a number.
            CalibrationError: If the calibration is not of this machine, or not of inputs of this
                size.
        """
        batch_inputs, samples = self._prepare(inputs, data_samples)
        images, _, *size = batch_inputs.shape
        exit_stack = self.exit_within(deadline_ms, (images, *size))
        return next(self._detect(batch_inputs, samples, [exit_stack], rescale))

    def _forward(self, batch_inputs: Tensor,
                 batch_data_samples: list[DetDataSample] | None = None) -> Any:
        """Return the raw outputs of the head at the exit in force."""
        return self.head_of(self.exit_stack)(self.extract_feat(batch_inputs))

    def _pyramids(self, batch_inputs: Tensor,
                  exits: Sequence[int]) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
        """Yield the pyramids of some exits, in rising order; no stack runs before it is needed."""
        maps = self.backbone(batch_inputs)
        kind = type(self.neck)
        if kind.forward is not NASFPN.forward or kind.iter_pyramids is not NASFPN.iter_pyramids:
            # A neck of the user's own: there is one way to ask it for pyramids.
            for stack, pyramid in enumerate(islice(self.neck.iter_pyramids(maps), exits[-1]), 1):
                if stack in exits:
                    yield stack, pyramid
            return
        for first, last in pairwise((0, *exits)):
            maps = self.neck(maps, first, last)  # by its call, so that it may be compiled
            yield last, maps

    def _detect(self, batch_inputs: Tensor, samples: Sequence[DetDataSample], exits: Sequence[int],
                rescale: bool) -> Iterator[tuple[int, list[DetDataSample]]]:
        """Yield the detections of some exits, each in new data samples."""
        for exit_stack, pyramid in self._pyramids(batch_inputs, exits):
            own = [sample.new() for sample in samples]
            results = self.head_of(exit_stack).predict(pyramid, own, rescale=rescale)
            yield exit_stack, self.add_pred_to_datasample(own, results)

    def _prepare(self, inputs: Tensor | Mapping[str, Any],
                 data_samples: Sequence[DetDataSample] | None
                 ) -> tuple[Tensor, Sequence[DetDataSample]]:
        if self.training:
            raise RuntimeError('the model is in training mode, where detections are meaningless: call '
                               'model.train(False) first')
        if not isinstance(inputs, Tensor | Mapping):
            raise ValueError(f'inputs is a {type(inputs).__name__}, but must be a tensor of images or a '
                             'batch as a data loader gives it: dict(inputs=[...], data_samples=[...])')
        if not isinstance(inputs, Tensor):
            data = self.data_preprocessor(inputs, False)
            inputs, data_samples = data['inputs'], data['data_samples']
        assert isinstance(inputs, Tensor)
        if data_samples is None:
            shape = tuple(inputs.shape[-2:])
            data_samples = [DetDataSample(metainfo=dict(
                img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape,
                scale_factor=(1.0, 1.0))) for _ in inputs]
        if len(data_samples) != len(inputs):
            raise ValueError(f'there are {len(data_samples)} data_samples, but {len(inputs)} images: '
                             'give one for each')
        return inputs, data_samples

    def _check_exit(self, exit_stack: Any) -> None:
        if type(exit_stack) is not int or exit_stack not in self.exits:
            raise ValueError(
                f'exit_stack is {exit_stack!r}, but there are heads after these stacks only: '
                f'{", ".join(map(str, self.exits))}; choose one of them, or add it to exits and train')


def _check_exits(exits: Sequence[int] | None, stack_times: int) -> tuple[int, ...]:
    if exits is None:
        return tuple(range(1, stack_times + 1))
    is_list = isinstance(exits, Sequence) and not isinstance(exits, str)
    if (not is_list or not exits or not all(type(k) is int and 1 <= k <= stack_times for k in exits)
            or list(exits) != sorted(set(exits))):
        raise ValueError(f'exits is {exits!r}, but must be a list of at least one of the {stack_times} '
                         f'stacks of the neck, 1..{stack_times}, each once and in rising order')
    if exits[-1] < stack_times:
        warnings.warn(
            f'the stacks after the last exit, {exits[-1] + 1}..{stack_times}, are neither trained nor '
            f'used: lower stack_times to {exits[-1]}, or add {stack_times} to exits', stacklevel=3)
    return tuple(exits)


def _check_loss_weights(loss_weights: Sequence[float] | None,
                        exits: Sequence[int]) -> tuple[float, ...]:
    if loss_weights is None:
        return (1.0,) * len(exits)
    is_list = isinstance(loss_weights, Sequence) and not isinstance(loss_weights, str)
    if (not is_list or len(loss_weights) != len(exits) or not any(loss_weights)
            or not all(_is_number(x) and 0 <= x < math.inf for x in loss_weights)):
        raise ValueError(f'loss_weights is {loss_weights!r}, but must be a list of {len(exits)} numbers '
                         f'for the exits {list(exits)}, none of them negative and one above 0')
    return tuple(map(float, loss_weights))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _times(weight: float, value: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """Multiply a loss, which heads give for all levels or as a list, one for each."""
    return weight * value if isinstance(value, Tensor) else [weight * part for part in value]
