"""The progress of a search, for a terminal or a log file."""
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

_LAST = 200  # trials whose mean is shown
_LINE_EVERY = 30.0  # seconds, where the output is no terminal


class Progress:
    """Shows trials, best and mean reward, the share of different architectures, and the time left.

    Args:
        num_trials (int): How many trials there are to be.
        rewards (Sequence[float]): Those of an earlier go.
        architectures (Sequence[str]): Hashes of theirs.
        num_given_up (int): Trials of an earlier go that were given up.
    """

    def __init__(self, num_trials: int, rewards: Sequence[float], architectures: Sequence[str],
                 num_given_up: int) -> None:
        self.num_trials = num_trials
        self.num_before = len(rewards) + num_given_up
        self.num_given_up = num_given_up
        self.num_completed = len(rewards)
        self.best = max(rewards, default=None)
        self.last = deque(rewards, _LAST)
        self.architectures = set(architectures)
        self.console = Console()
        self._bar = RichProgress(TextColumn('Searching'), BarColumn(), MofNCompleteColumn(),
                                 TimeElapsedColumn())
        self._task = self._bar.add_task('', total=num_trials, completed=self.num_before)
        # Two lines, which fit a narrow terminal.
        self._live = Live(console=self.console, refresh_per_second=2, get_renderable=lambda: Group(
            self._bar.get_renderable(), Text(self.text)))
        self._start = self._written = time.monotonic()

    def __enter__(self) -> 'Progress':
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self.console.is_terminal:
            self._live.stop()
        else:
            self._line()

    def complete(self, reward: float, architecture: str) -> None:
        """Count a completed trial."""
        self.num_completed += 1
        self.last.append(reward)
        self.architectures.add(architecture)
        self.best = reward if self.best is None else max(self.best, reward)
        self._show()

    def give_up(self) -> None:
        """Count a trial that was given up."""
        self.num_given_up += 1
        self._show()

    def say(self, text: str) -> None:
        """Write a line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @property
    def text(self) -> str:
        """Best and mean reward, different architectures, and the time that is left."""
        if not self.last:
            return 'no reward yet'
        mean = sum(self.last) / len(self.last)
        return (f'best {self.best:.3f}, mean of the last {len(self.last)} {mean:.3f}, '
                f'{len(self.architectures) / self.num_completed:.0%} different, {self._left()}')

    def _left(self) -> str:
        done = self.num_completed + self.num_given_up
        if done == self.num_before:
            return 'time left unknown'
        seconds = (self.num_trials - done) * (time.monotonic() - self._start) / (done - self.num_before)
        minutes, seconds = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f'{hours}:{minutes:02}:{seconds:02} left'

    def _show(self) -> None:
        self._bar.update(self._task, completed=self.num_completed + self.num_given_up)
        if not self.console.is_terminal and time.monotonic() - self._written > _LINE_EVERY:
            self._line()

    def _line(self) -> None:
        self._written = time.monotonic()
        self.say(f'{self.num_completed + self.num_given_up} of {self.num_trials} trials: {self.text}')
