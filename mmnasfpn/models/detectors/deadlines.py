"""Detectors with exits that know how long each takes."""
import math
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real
from typing import Any

from mmnasfpn.models.detectors.calibration import Calibration


class KeepsDeadlines(ABC):
    """What chooses its exit by a deadline and a calibration."""

    #: The stacks after which it can stop, in rising order.
    exits: tuple[int, ...]
    #: ``exit_stack`` in it is the exit in force.
    test_cfg: Any
    #: Its latencies on this machine; None until :meth:`load_calibration`.
    calibration: Calibration | None = None
    _has_warned = False

    @property
    def exit_stack(self) -> int:
        """The exit in force: ``test_cfg.exit_stack``, or the last one where that is not set."""
        chosen = self.test_cfg.get('exit_stack')
        return self.exits[-1] if chosen is None else chosen

    @abstractmethod
    def machine(self) -> dict[str, Any]:
        """Return what its speed depends on: the device, its threads, and what runs it."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return what tells it from models of other latencies; ``exits`` is in it."""

    def load_calibration(self, path: str | os.PathLike[str]) -> None:
        """Read the latency of each exit on this machine, for ``predict_within``.

        Args:
            path (str | PathLike): A file of ``tools/calibrate.py``.

        Raises:
            CalibrationError: If it is no calibration, or that of another machine or model.
        """
        calibration = Calibration.load(path)
        calibration.check(self.machine(), self.identity())
        self.calibration = calibration

    def exit_within(self, deadline_ms: float, input_shape: Sequence[int]) -> int:
        """Return the deepest exit that takes no longer than a deadline, by the calibration.

        Where none is fast enough, it is the first one, with a warning the first time.

        Args:
            deadline_ms (float): Milliseconds.
            input_shape (Sequence[int]): Images, rows and columns of what the model sees.

        Raises:
            RuntimeError: If no calibration has been loaded.
            ValueError: If the deadline is not a number.
            CalibrationError: If the calibration is not of this machine, or not of this shape.
        """
        if self.calibration is None:
            raise RuntimeError('there is no calibration: make one on this machine (python '
                               'tools/calibrate.py CONFIG CHECKPOINT --out FILE), and read it with '
                               'model.load_calibration(FILE)')
        if (not isinstance(deadline_ms, Real) or isinstance(deadline_ms, bool)
                or math.isnan(deadline_ms)):
            raise ValueError(f'deadline_ms is {deadline_ms!r}, but must be a number of milliseconds')
        self.calibration.check_machine(self.machine())
        latencies = self.calibration.latencies_of(input_shape)
        in_time = [k for k, latency in latencies.items() if latency <= deadline_ms]
        if not in_time and not self._has_warned:
            self._has_warned = True
            warnings.warn(f'no exit takes {deadline_ms:g} ms or less: the first takes '
                          f'{latencies[self.exits[0]]:.1f} ms on this machine, and is taken',
                          RuntimeWarning, stacklevel=4)
        return max(in_time, default=self.exits[0])
