"""Anytime detection: heads on every stack, and a real early exit (section 3.2)."""
import copy
import math
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from numbers import Real
from typing import Any

import torch
from mmcv.cnn import is_norm
from mmdet.models.detectors import SingleStageDetector
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.model import ModuleDict
from torch import Tensor, nn

from mmnasfpn._checks import check_whole_number
from mmnasfpn.models.detectors.calibration import Calibration
from mmnasfpn.registry import MODELS

#: How the exits share a head.
HEADS = ('shared', 'own_norms', 'separate')


@MODELS.register_module()
class AnytimeDetector(SingleStageDetector):
    """A single-stage detector that can stop after any stack of its NAS-FPN neck.

    A head after each of the ``exits`` finds the objects in the pyramid of that stack. All of them are
    trained at once (deep supervision); the log names their losses, e.g. ``exit3.loss_cls``. At
    inference one stack is the exit: what comes after it is not computed. Exit k is, bit for bit, the
    plain detector of k stacks with the same weights, and ``exits=[stack_times]`` is the plain
    detector.

    ``test_cfg.exit_stack`` is the exit of :meth:`predict` and of ``mode='tensor'``: in the config, by
    ``--cfg-options model.test_cfg.exit_stack=1``, or on the built model
    (``model.test_cfg.exit_stack = 1``). Without it, it is the last one.

    The head after the last exit is ``bbox_head``, its name in the plain detector. Those after the others
    are ``exit_heads.<exit>`` where each exit has one of its own; what they have of their own is
    ``exit_norms.<exit>`` where they share all but the norms.

    Args:
        backbone (Mapping): Config of the backbone.
        neck (Mapping): Config of the neck, a ``mmnasfpn.NASFPN``.
        bbox_head (Mapping): Config of the head, any single-stage one.
        exits (Sequence[int] | None): The stacks that have a head, counted from 1, in rising order.
            Defaults to None, all of them.
        heads (str): ``'shared'``, one head for all exits; ``'own_norms'``, the same but for a
            normalisation of each exit's own, as RetinaNet's levels have it in the paper's models: the
            statistics of batch normalisation differ from exit to exit; or ``'separate'``, one each.
            Defaults to ``'own_norms'``.
        loss_weights (Sequence[float] | None): For each exit, what its losses are multiplied by; not
            negative. Defaults to None, 1 each.
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
        if not hasattr(getattr(self, 'neck', None), 'iter_pyramids'):
            kind = type(getattr(self, 'neck', None)).__name__
            raise ValueError(f'the neck is a {kind}, but must be a mmnasfpn.NASFPN, '
                             'which gives a pyramid for each stack')
        self.exits = _check_exits(exits, self.neck.stack_times)
        self.loss_weights = _check_loss_weights(loss_weights, self.exits)
        if heads not in HEADS:
            raise ValueError(f'heads is {heads!r}, but must be one of {", ".join(map(repr, HEADS))}')
        early_heads = {} if heads == 'shared' else {
            exit_stack: MODELS.build(
                {**copy.deepcopy(bbox_head), 'train_cfg': train_cfg, 'test_cfg': test_cfg})
            for exit_stack in self.exits[:-1]}
        self.exit_heads = ModuleDict()
        self.exit_norms = ModuleDict()
        # Heads that share modules with bbox_head. Registered are only their norms, so that optimizers,
        # checkpoints and averages of the weights meet each parameter once.
        self._views: dict[int, nn.Module] = {}
        for exit_stack, head in early_heads.items():
            if heads == 'separate':
                self.exit_heads[str(exit_stack)] = head
            else:
                self._views[exit_stack] = head
                self.exit_norms[str(exit_stack)] = ModuleDict(
                    {norm_key(name): module for name, module in head.named_modules() if is_norm(module)})
        self._share()
        for network in self.neck.pyramids[self.exits[-1]:]:
            network.requires_grad_(False)  # never run: distributed training would wait for gradients
        self._check_exit(self.exit_stack)
        self.calibration: Calibration | None = None
        self._has_warned = False

    @property
    def exit_stack(self) -> int:
        """The exit in force: ``test_cfg.exit_stack``, or the last one where that is not set."""
        chosen = self.test_cfg.get('exit_stack')
        return self.exits[-1] if chosen is None else chosen

    @property
    def shares_head(self) -> bool:
        """Whether heads of other exits consist of the modules of ``bbox_head``, but for the norms."""
        return bool(self._views)

    def head_of(self, exit_stack: int) -> Any:
        """Return the head after a stack.

        Args:
            exit_stack (int): One of the exits.

        Raises:
            ValueError: If there is no head after that stack.
        """
        self._check_exit(exit_stack)
        if str(exit_stack) in self.exit_heads:
            return self.exit_heads[str(exit_stack)]
        return self._views.get(exit_stack, self.bbox_head)

    def init_weights(self) -> None:
        """Initialise as MMDetection does; norms of an exit's own like those of ``bbox_head``."""
        super().init_weights()
        norms = {norm_key(name): module for name, module in self.bbox_head.named_modules()}
        for own in self.exit_norms.values():
            for key, norm in own.items():
                norm.load_state_dict(norms[key].state_dict())

    def train(self, mode: bool = True) -> 'AnytimeDetector':
        """Set training or evaluation mode, also of what is not registered."""
        super().train(mode)
        for head in self._views.values():
            head.train(mode)
        return self

    def _apply(self, fn: Callable, recurse: bool = True) -> 'AnytimeDetector':
        """Move or convert the model; buffers are replaced by that, and must be shared anew."""
        super()._apply(fn, recurse)
        self._share()
        return self

    def _share(self) -> None:
        for head in self._views.values():
            _share_all_but_norms(head, self.bbox_head)

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Any]:
        """Calculate the losses of every exit.

        Args:
            batch_inputs (Tensor): Images, (N, 3, H, W), normalised.
            batch_data_samples (list[DetDataSample]): Their ground truth.

        Returns:
            dict: Each of the head's losses for each exit, ``exit<stack>.<name>``, times the exit's
            weight. What is not called a loss is left as it is.
        """
        losses = {}
        weights = dict(zip(self.exits, self.loss_weights, strict=True))
        for exit_stack, pyramid in self._pyramids(batch_inputs, self.exits):
            for name, value in self.head_of(exit_stack).loss(pyramid, batch_data_samples).items():
                losses[f'exit{exit_stack}.{name}'] = (
                    _times(weights[exit_stack], value) if 'loss' in name else value)
        return losses

    def predict(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample],
                rescale: bool = True) -> list[DetDataSample]:
        """Detect at the exit in force; compute nothing of what comes after it.

        Args:
            batch_inputs (Tensor): Images, (N, 3, H, W), normalised.
            batch_data_samples (list[DetDataSample]): What is known of them: their sizes.
            rescale (bool): Give boxes in pixels of the original picture, not of the input. Defaults
                to True.

        Returns:
            list[DetDataSample]: The data samples, with ``pred_instances``: ``bboxes`` (x1, y1, x2,
            y2) in pixels, ``scores`` in 0..1, ``labels``.

        Raises:
            ValueError: If there is no head after ``test_cfg.exit_stack``.
        """
        pyramid = self.extract_feat(batch_inputs)
        return self._detect(self.exit_stack, pyramid, batch_data_samples, rescale)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the pyramid at the exit in force, as the neck does."""
        self._check_exit(self.exit_stack)
        _, pyramid = next(self._pyramids(batch_inputs, [self.exit_stack]))
        return pyramid

    @torch.no_grad()
    def anytime(self, inputs: Tensor | Mapping[str, Any],
                data_samples: Sequence[DetDataSample] | None = None,
                rescale: bool = True) -> Iterator[tuple[int, list[DetDataSample]]]:
        """Yield the detections of each exit as soon as they are there, the first exit's first.

        What comes after an exit is computed only when it is asked for: leave the loop to stop.

        Args:
            inputs (Tensor | Mapping): Images, (N, 3, H, W), normalised; or a batch as data loaders
                give it and ``test_step`` takes it, which is preprocessed first.
            data_samples (Sequence[DetDataSample] | None): With a tensor: what is known of the
                images. Defaults to None: that they fill the tensor and are not resized.
            rescale (bool): Give boxes in pixels of the original pictures. Defaults to True.

        Yields:
            tuple[int, list[DetDataSample]]: The exit, and for each image its data sample with
            ``pred_instances``, new ones for each exit.

        Raises:
            RuntimeError: If the model is in training mode; like all errors, when the first is asked for.
            ValueError: If the inputs are of another kind, or not as many as the data samples.

        Example:
            >>> for exit_stack, detections in model.anytime(batch):  # doctest: +SKIP
            ...     if time.monotonic() > deadline:
            ...         break
        """
        batch_inputs, samples = self._prepare(inputs, data_samples)
        for exit_stack, pyramid in self._pyramids(batch_inputs, self.exits):
            yield exit_stack, self._detect(
                exit_stack, pyramid, [sample.new() for sample in samples], rescale)

    def load_calibration(self, path: str | os.PathLike[str]) -> None:
        """Read how long each exit takes on this machine, for :meth:`predict_within`.

        Args:
            path (str | PathLike): What ``tools/calibrate.py`` wrote.

        Raises:
            CalibrationError: If it is no calibration, or one of another machine or model.
        """
        calibration = Calibration.load(path)
        calibration.check(self)
        self.calibration = calibration

    @torch.no_grad()
    def predict_within(self, inputs: Tensor | Mapping[str, Any], deadline_ms: float,
                       data_samples: Sequence[DetDataSample] | None = None,
                       rescale: bool = True) -> tuple[int, list[DetDataSample]]:
        """Detect at the deepest exit that takes no longer than the deadline, by the calibration.

        Where none is fast enough, it is the first exit, and there is a warning, once.

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
        if self.calibration is None:
            raise RuntimeError('there is no calibration: make one on this machine (python '
                               'tools/calibrate.py CONFIG CHECKPOINT --out FILE), and read it with '
                               'model.load_calibration(FILE)')
        is_number = isinstance(deadline_ms, Real) and not isinstance(deadline_ms, bool)
        if not is_number or math.isnan(deadline_ms):
            raise ValueError(f'deadline_ms is {deadline_ms!r}, but must be a number of milliseconds')
        self.calibration.check_machine(self)
        batch_inputs, samples = self._prepare(inputs, data_samples)
        latencies = self.calibration.latencies_of(batch_inputs)
        exit_stack = max((k for k, latency in latencies.items() if latency <= deadline_ms), default=None)
        if exit_stack is None:
            exit_stack = self.exits[0]
            if not self._has_warned:
                self._has_warned = True
                warnings.warn(f'no exit takes {deadline_ms:g} ms or less: the first takes '
                              f'{latencies[exit_stack]:.1f} ms on this machine, and is taken',
                              RuntimeWarning, stacklevel=2)
        _, pyramid = next(self._pyramids(batch_inputs, [exit_stack]))
        return exit_stack, self._detect(
            exit_stack, pyramid, [sample.new() for sample in samples], rescale)

    def _forward(self, batch_inputs: Tensor,
                 batch_data_samples: list[DetDataSample] | None = None) -> Any:
        """Return the raw outputs of the head at the exit in force."""
        return self.head_of(self.exit_stack)(self.extract_feat(batch_inputs))

    def _pyramids(self, batch_inputs: Tensor,
                  exits: Collection[int]) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
        """Yield the pyramids of some stacks; run a stack only once one from it on is asked for."""
        pyramids = self.neck.iter_pyramids(self.backbone(batch_inputs))
        for stack, pyramid in enumerate(islice(pyramids, max(exits)), 1):
            if stack in exits:
                yield stack, pyramid

    def _detect(self, exit_stack: int, pyramid: tuple[Tensor, ...], samples: list[DetDataSample],
                rescale: bool) -> list[DetDataSample]:
        results = self.head_of(exit_stack).predict(pyramid, samples, rescale=rescale)
        return self.add_pred_to_datasample(samples, results)

    def _prepare(self, inputs: Tensor | Mapping[str, Any],
                 data_samples: Sequence[DetDataSample] | None
                 ) -> tuple[Tensor, Sequence[DetDataSample]]:
        if self.training:
            raise RuntimeError('the model is in training mode, whose detections mean nothing: call '
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
        is_number = isinstance(exit_stack, int) and not isinstance(exit_stack, bool)
        if not is_number or exit_stack not in self.exits:
            raise ValueError(
                f'exit_stack is {exit_stack!r}, but there are heads after these stacks only: '
                f'{", ".join(map(str, self.exits))}; choose one of them, or add it to exits and train')


def _check_exits(exits: Sequence[int] | None, stack_times: int) -> tuple[int, ...]:
    if exits is None:
        return tuple(range(1, stack_times + 1))
    if isinstance(exits, str) or not isinstance(exits, Sequence) or not exits:
        raise ValueError(f'exits is {exits!r}, but must be a list of at least one of the stacks '
                         f'1..{stack_times}')
    for index, exit_stack in enumerate(exits):
        check_whole_number(f'exits[{index}]', exit_stack, 1)
        if exit_stack > stack_times:
            raise ValueError(f'exits[{index}] is {exit_stack}, but the neck has {stack_times} stacks: '
                             f'name some of 1..{stack_times}, or raise stack_times')
    if list(exits) != sorted(set(exits)):
        raise ValueError(f'exits is {list(exits)}, but each stack must stand there once, in rising '
                         f'order: {sorted(set(exits))}')
    if exits[-1] < stack_times:
        warnings.warn(
            f'the stacks after the last exit, {exits[-1] + 1}..{stack_times}, are neither trained nor '
            f'used: lower stack_times to {exits[-1]}, or add {stack_times} to exits', stacklevel=3)
    return tuple(exits)


def _check_loss_weights(loss_weights: Sequence[float] | None,
                        exits: Sequence[int]) -> tuple[float, ...]:
    if loss_weights is None:
        return (1.0,) * len(exits)
    if isinstance(loss_weights, str) or not isinstance(loss_weights, Sequence) or len(
            loss_weights) != len(exits):
        raise ValueError(f'loss_weights is {loss_weights!r}, but must be a list of {len(exits)} '
                         f'weights, one for each of the exits {list(exits)}')
    for exit_stack, weight in zip(exits, loss_weights, strict=True):
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise ValueError(f'the loss weight of exit {exit_stack} is {weight!r}, but must be a number '
                             'that is not negative')
    if not any(loss_weights):
        raise ValueError(f'loss_weights is {list(loss_weights)}, but one must be above 0, or nothing is '
                         'trained')
    return tuple(map(float, loss_weights))


def norm_key(name: str) -> str:
    """Return under which key ``exit_norms`` has a norm of a name; keys may have no dots."""
    return name.replace('.', '/')


def _share_all_but_norms(head: nn.Module, source: nn.Module) -> None:
    """Let a head consist of the modules of another that is built alike, but for its norms."""
    for name, value in (*source.named_parameters(recurse=False), *source.named_buffers(recurse=False)):
        setattr(head, name, value)
    for name, child in source.named_children():
        if is_norm(child):
            continue
        if any(is_norm(module) for module in child.modules()):
            _share_all_but_norms(getattr(head, name), child)
        else:
            setattr(head, name, child)


def _times(weight: float, value: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
    """Multiply a loss, which heads give for all levels or as a list, one for each."""
    return weight * value if isinstance(value, Tensor) else [weight * part for part in value]
