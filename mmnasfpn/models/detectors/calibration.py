"""How long each exit of an anytime detector takes on a machine."""
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from mmnasfpn._files import write_json


class CalibrationError(ValueError):
    """A calibration that cannot be used: says why and what to do."""


@dataclass(frozen=True)
class InputLatencies:
    """How long each exit takes for inputs of one shape."""

    batch_size: int
    image_size: tuple[int, int]  # rows and columns that the model sees, padding included
    #: Milliseconds by exit, from the loader's batch to the detections; 95% of the runs took no longer.
    exits: Mapping[int, float]


@dataclass(frozen=True)
class Calibration:
    """The latencies by which ``predict_within`` chooses the exit."""

    machine: Mapping[str, Any]  # as ``machine()`` of the model describes it
    model: Mapping[str, Any]  # as its ``identity()`` does
    inputs: tuple[InputLatencies, ...]  # one for each shape

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, whole or not at all."""
        write_json(Path(path), asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> 'Calibration':
        """Read a file of :meth:`save`.

        Raises:
            CalibrationError: If there is no such file, or it holds something else.
        """
        try:
            data = json.loads(Path(path).read_text(encoding='utf-8'))
            return cls(dict(data['machine']), dict(data['model']), tuple(
                InputLatencies(int(part['batch_size']), _size(part['image_size']),
                               {int(k): float(ms) for k, ms in part['exits'].items()})
                for part in data['inputs']))
        except FileNotFoundError:
            raise CalibrationError(f'{path}: there is no such file; {_HOW_TO_MAKE_ONE}') from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CalibrationError(
                f'{path} is not a calibration ({error!r}): {_HOW_TO_MAKE_ONE}') from None

    def check(self, machine: Mapping[str, Any], model: Mapping[str, Any]) -> None:
        """Raise a CalibrationError if it is of another machine or another model."""
        self.check_machine(machine)
        _check_same('model', self.model, model)
        for part in self.inputs:
            if sorted(part.exits) != model['exits']:
                raise CalibrationError(f'the calibration has the exits {sorted(part.exits)}, but the '
                                       f'model {model["exits"]}: {_HOW_TO_MAKE_ONE}')

    def check_machine(self, machine: Mapping[str, Any]) -> None:
        """Raise a CalibrationError if it is of another machine."""
        _check_same('machine', self.machine, machine)

    def latencies_of(self, input_shape: Sequence[int]) -> Mapping[int, float]:
        """Return the milliseconds by exit for inputs of a shape: images, rows and columns.

        Raises:
            CalibrationError: If there are none for inputs of that shape.
        """
        batch_size, *size = input_shape
        for part in self.inputs:
            if (part.batch_size, list(part.image_size)) == (batch_size, size):
                return part.exits
        known = ', '.join(f'{part.batch_size} of {part.image_size[0]}x{part.image_size[1]}'
                          for part in self.inputs)
        raise CalibrationError(f'the calibration is of inputs of other sizes ({known}), not of '
                               f'{batch_size} of {size[0]}x{size[1]}: make one that has this size, or '
                               f'resize and pad to one that it has; {_HOW_TO_MAKE_ONE}')


_HOW_TO_MAKE_ONE = 'tools/calibrate.py makes one'


def machine_of(device: torch.device) -> dict[str, Any]:
    """Return what the speed of a device depends on: its name, threads, and PyTorch's version."""
    machine = dict(device=device.type, torch=torch.__version__)
    if device.type == 'cuda':
        return dict(machine, name=torch.cuda.get_device_name(device))
    return dict(machine, name=cpu_name(), threads=torch.get_num_threads())


def model_of(model: Any) -> dict[str, Any]:
    """Return what identifies an ``AnytimeDetector``: exits, number of parameters, and their type."""
    return dict(exits=list(model.exits), parameters=sum(p.numel() for p in model.parameters()),
                dtype=str(next(model.parameters()).dtype))


@cache
def cpu_name() -> str:
    """Return what the processor is called."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def _size(value: Any) -> tuple[int, int]:
    rows, columns = value
    return int(rows), int(columns)


def _check_same(what: str, calibrated: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    other = [f'{key} was {calibrated.get(key)!r}, but is {value!r}' for key, value in here.items()
             if calibrated.get(key) != value]
    if other:
        raise CalibrationError(f'the calibration is of another {what} ({"; ".join(other)}): '
                               f'{_HOW_TO_MAKE_ONE} here')
