"""Refuse a checkpoint that does not fit the model, which MMEngine only warns of."""
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.datasets.annotations import show_names
from mmnasfpn.genotypes import EARLIER_NAMES, GENOTYPES, GenotypeError
from mmnasfpn.models.detectors import current_name, is_of_an_exit
from mmnasfpn.models.necks import NASFPN
from mmnasfpn.registry import HOOKS


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Check each checkpoint that the runner loads, before it goes into the model.

    Weights that are missing or of another shape would stay random, so that a test would measure, and a
    resumed run go on with, something else than what was trained.

    Args:
        strict (bool): True asks for all weights of the model, as for testing and resuming. False is
            for fine-tuning, where backbone and head may be new: only a NAS-FPN neck in the checkpoint
            must fit.
        classes (Sequence[str] | None): The classes of the data. Where ``strict``, those of the
            checkpoint must be the same in the same order. Defaults to None: they are not compared.

    Raises:
        CheckpointError: When a checkpoint is loaded that does not fit; says what differs and what to
            do.
    """

    priority = 'VERY_LOW'  # after hooks that swap weights, such as EMAHook

    def __init__(self, strict: bool, classes: Sequence[str] | None = None) -> None:
        self.strict = strict
        self.classes = classes

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Check the weights of the checkpoint, and the classes that it was trained with."""
        trained = classes_of(checkpoint)
        if self.strict and self.classes is not None:
            check_classes(trained, self.classes)
        elif trained and self.classes and list(trained) != list(self.classes) and (
                sorted(trained) == sorted(self.classes)):
            runner.logger.warning(
                'The checkpoint was trained with the same classes in another order, '
                f'{show_names(trained)}: its head begins with the weights of other classes. Give the '
                'data sets the order of the checkpoint to keep what it has learned')
        model, state_dict = unwrapped(runner.model), state_dict_of(checkpoint)
        if self.strict:
            load_weights(model, state_dict)  # the runner will load them again
        else:
            check_neck(model, state_dict)
        if runner._resume and not {'meta', 'message_hub', 'optimizer'} <= set(checkpoint):
            raise CheckpointError('the checkpoint holds weights, but not the state of a training, which '
                                  'resuming needs: give it as load_from in place of --resume')
        if runner._resume and not set(state_dict) <= {
                name.removeprefix('module.') for name in checkpoint['state_dict']}:
            raise CheckpointError('the checkpoint is of an earlier version, whose optimizer has another '
                                  'order of the weights: give it as load_from in place of --resume')


def unwrapped(model: Any) -> Any:
    """Return the detector inside distributed training and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def classes_of(checkpoint: Mapping[str, Any]) -> Sequence[str] | None:
    """Return the classes that a checkpoint says it was trained with, None where it does not say."""
    meta = checkpoint.get('meta') or {}
    # MMDetection 2 wrote CLASSES.
    return (meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES')


def check_classes(trained: Sequence[str] | None, classes: Sequence[str]) -> None:
    """Check that a model was trained with the classes of the data, in the same order.

    Args:
        trained (Sequence[str] | None): Those that it was trained with; None where that is not known.
        classes (Sequence[str]): Those of the data.

    Raises:
        CheckpointError: If they differ.
    """
    if trained is None or list(trained) == list(classes):
        return
    how = 'the same classes in another order' if sorted(trained) == sorted(classes) else 'other classes'
    raise CheckpointError(
        f'the model was trained with {how} than the data have: {show_names(trained)} are the classes of '
        f'the checkpoint, {show_names(classes)} those of the data: make metainfo=dict(classes=(...)) of '
        'the data sets and num_classes of the head those of the checkpoint, or give another one')


def state_dict_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a checkpoint by their names in the model.

    Raises:
        CheckpointError: If it has none.
    """
    state_dict = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state_dict, dict) or not all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in state_dict.items()):
        raise CheckpointError('the checkpoint has no weights by name (state_dict): give one of a model')
    result = OrderedDict((current_name(name.removeprefix('module.')), value)
                         for name, value in state_dict.items())
    noted = {name.removeprefix('module.'): notes for name, notes in _metadata(state_dict).items()}
    noted['neck'] = {'genotype': _earlier_genotype(checkpoint), **noted.get('neck', {})}
    vars(result)['_metadata'] = noted  # where load_state_dict looks for it
    return result


def _earlier_genotype(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the genotype of a checkpoint that does not note it, where its config's name has changed."""
    cfg = (checkpoint.get('meta') or {}).get('cfg')
    for name, earlier in EARLIER_NAMES.items():
        if isinstance(cfg, str) and f"genotype='{name}'" in cfg:
            return GENOTYPES[earlier].to_dict()
    return None


def load_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Load all weights of a model; those of other parts, such as a teacher's, are left out.

    Raises:
        CheckpointError: If some are missing or do not fit; says which, and what to do.
    """
    check_neck(model, state_dict, is_required=True)
    names = model.state_dict()
    unknown = [name for name in state_dict if is_of_an_exit(name) and name not in names]
    if unknown and hasattr(model, 'exits'):
        raise CheckpointError(
            f'the checkpoint {_has_unknown(unknown, "weights of exits")}: make model.exits and '
            'model.heads agree with the config that it was trained with')
    try:
        # Loading is the only way to know: modules of MMDetection rename what older ones saved.
        missing = _without_counters(model.load_state_dict(state_dict, strict=False).missing_keys)
    except RuntimeError as error:
        raise CheckpointError('the checkpoint has weights of other shapes: give the checkpoint and '
                              f'the config of one training ({error})') from None
    if missing:
        raise CheckpointError(f'the checkpoint {_lacks(missing)}: give the checkpoint and the '
                              'config of one training')


def check_neck(model: nn.Module, state_dict: Mapping[str, Tensor], is_required: bool = False) -> None:
    """Check that the weights of a NAS-FPN neck are those of the model's, if it has one.

    Args:
        model (nn.Module): The model.
        state_dict (Mapping[str, Tensor]): The weights of a whole model.
        is_required (bool): Whether they must have such a neck. Defaults to False: those of a backbone
            alone, or of a model with another neck, fit as well.

    Raises:
        CheckpointError: If they do not fit; says what differs, and what to do.
    """
    neck = getattr(model, 'neck', None)
    if not isinstance(neck, NASFPN):
        return
    theirs = {name: value for name, value in state_dict.items() if name.startswith('neck.')}
    if any(name.startswith('neck.fpn_stages.') for name in theirs):
        raise CheckpointError(
            "the checkpoint is of MMDetection's own NASFPN: convert it (tools/convert_checkpoint.py "
            "--from mmdet), and use it with variant='mmdet' in the neck")
    if not is_required and not any(name.startswith('neck.pyramids.') for name in theirs):
        return
    ours = {f'neck.{name}': value for name, value in neck.state_dict().items()}
    if problems := differences(ours, theirs):
        raise CheckpointError(f'the checkpoint {problems}: {_neck_hint(neck, theirs)}')
    try:
        neck.check_trained_genotype(_metadata(state_dict).get('neck', {}).get('genotype'))
    except GenotypeError as error:
        raise CheckpointError(f'the checkpoint does not fit: {error}') from None


def differences(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """Say what weights lack, or have too many or in other shapes than a model's; '' where they fit."""
    problems = []
    if missing := _without_counters(name for name in ours if name not in theirs):
        problems.append(_lacks(missing))
    if unknown := [name for name in theirs if name not in ours]:
        problems.append(_has_unknown(unknown))
    if other := [f'{name} is {tuple(theirs[name].shape)}, but {tuple(value.shape)} in the model'
                 for name, value in ours.items()
                 if name in theirs and theirs[name].shape != value.shape]:
        problems.append(f'has {len(other)} weights of other shapes ({"; ".join(other[:3])})')
    return ' and '.join(problems)


def _metadata(state_dict: Mapping[str, Tensor]) -> Mapping[str, Mapping[str, Any]]:
    """Return what modules noted beside their weights, by their names."""
    return getattr(state_dict, '_metadata', {})


def _without_counters(names: Iterable[str]) -> list[str]:
    """Leave out the batch counters of normalisations, which old checkpoints lack."""
    return [name for name in names if not name.endswith('num_batches_tracked')]


def _lacks(missing: Sequence[str]) -> str:
    return f'lacks {len(missing)} weights of the model ({", ".join(missing[:3])}, ...)'


def _has_unknown(unknown: Sequence[str], what: str = 'weights') -> str:
    return f'has {len(unknown)} {what} that the model has not ({", ".join(unknown[:3])}, ...)'


def _neck_hint(neck: NASFPN, theirs: Mapping[str, Tensor]) -> str:
    biases = [name for name in theirs if name.endswith('.conv.bias')]
    normalised = any('.running_var' in name or '.gn.' in name for name in theirs)
    variant = 'mmdet' if normalised and biases else 'authors'
    if theirs and normalised and variant != neck.variant:
        return (f"its neck is of variant='{variant}', that of the config of variant='{neck.variant}': "
                'make model.neck.variant agree')
    return ('make model.neck (stack_times, out_channels, genotype, separable, norm_cfg, variant) agree '
            'with the config that the checkpoint was trained with')
