"""What an exit of an anytime detector has of its own: its norms, and the names of its weights."""
import copy
import re
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import is_norm
from torch import Tensor, nn


class NormPerExit(nn.ModuleDict):
    """A normalisation layer of each exit's own, in the place of one layer of a head.

    In state dicts, the layer of the last exit has the names of the plain layer, so that the last exit's
    weights are those of a plain detector.

    Args:
        norm (nn.Module): The layer to replace. It becomes that of the last exit, and the others are
            copies of it.
        exits (Sequence[int]): The exits, in rising order.
    """

    def __init__(self, norm: nn.Module, exits: Sequence[int]) -> None:
        super().__init__({f'exit{k}': copy.deepcopy(norm) for k in exits[:-1]})
        self[f'exit{exits[-1]}'] = norm
        self.exit_stack = exits[-1]
        self.register_state_dict_post_hook(_name_last_exit_plainly)
        self.register_load_state_dict_pre_hook(_find_last_exit)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise with the layer of the exit ``exit_stack``."""
        return self[f'exit{self.exit_stack}'](x)


def give_norms_per_exit(head: nn.Module, exits: Sequence[int]) -> None:
    """Replace each normalisation layer of a head by a :class:`NormPerExit`."""
    replaced: dict[nn.Module, NormPerExit] = {}  # a layer may stand in several places
    for parent in list(head.modules()):
        for name, norm in list(parent.named_children()):
            if is_norm(norm):
                if norm not in replaced:
                    replaced[norm] = NormPerExit(norm, exits)
                setattr(parent, name, replaced[norm])


def split_name(name: str) -> tuple[int | None, str]:
    """Return the exit that alone has a weight, None if there is none, and the weight's plain name.

    The plain name is that in the plain detector: ``exit_heads.1.retina_cls.bias`` gives
    ``(1, 'bbox_head.retina_cls.bias')``, and ``bbox_head.conv.bn.exit1.weight`` gives
    ``(1, 'bbox_head.conv.bn.weight')``.
    """
    if match := re.fullmatch(r'exit_heads\.(\d+)\.(.+)', name):
        return int(match[1]), f'bbox_head.{match[2]}'
    if match := re.fullmatch(r'(bbox_head\..+)\.exit(\d+)(\.\w+)', name):
        return int(match[2]), match[1] + match[3]
    return None, name


def is_of_an_exit(name: str) -> bool:
    """Tell whether a weight belongs to one exit alone."""
    return split_name(name)[0] is not None


def current_name(name: str) -> str:
    """Return the name of a weight that may have the name of older checkpoints.

    They have ``exit_norms.1.conv/bn.weight`` for what is ``bbox_head.conv.bn.exit1.weight`` now.
    """
    match = re.fullmatch(r'exit_norms\.(\d+)\.(.+)\.(\w+)', name)
    return name if match is None else f'bbox_head.{match[2].replace("/", ".")}.exit{match[1]}.{match[3]}'


def rename_old_norms(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename the weights of older checkpoints: a hook of ``load_state_dict`` for the detector."""
    for name in [name for name in state_dict if name.startswith(f'{prefix}exit_norms.')]:
        state_dict[prefix + current_name(name.removeprefix(prefix))] = state_dict.pop(name)


def _name_last_exit_plainly(norms: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    last = f'{prefix}{list(norms._modules)[-1]}.'
    for name in [name for name in state_dict if name.startswith(last)]:
        state_dict[prefix + name.removeprefix(last)] = state_dict.pop(name)


def _find_last_exit(norms: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    last = f'{prefix}{list(norms._modules)[-1]}.'
    for name in [name for name in state_dict if re.fullmatch(rf'{re.escape(prefix)}\w+', name)]:
        state_dict[last + name.removeprefix(prefix)] = state_dict.pop(name)
