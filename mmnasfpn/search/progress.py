"""The progress of a search, for a terminal or a log file."""
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType

from rich import progress as rich_progress
from rich.console import Console, RenderableType
from rich.text import Text

_LAST = 200  # trials whose mean is shown
_LINE_EVERY = 30.0  # seconds, where the output is no terminal


class Progress(rich_progress.Progress):
    """Shows trials, best and mean reward, the share of different architectures, and the time left.

    It begins with the completed trials of earlier runs, and the number of those that were stopped early
    or given up.
    """

    def __init__(self, num_trials: int, rewards: Sequence[float], architectures: Sequence[str],
                 num_others: int) -> None:
        self.num_completed = len(rewards)
        self.best = max(rewards, default=-math.inf)
        self.last = deque(rewards, _LAST)
        self.architectures = set(architectures)
        console = Console()
        super().__init__(
            rich_progress.TextColumn('Searching'), rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(), rich_progress.TimeElapsedColumn(), console=console,
            disable=not console.is_terminal, refresh_per_second=2,
            speed_estimate_period=math.inf)  # a trial may take hours
        self.add_task('', total=num_trials)
        self.update(self.task_ids[0], completed=self.num_completed + num_others)
        self._written = time.monotonic()

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the bar and the numbers: two lines, which fit a narrow terminal."""
        yield from super().get_renderables()
        if self.tasks:  # not yet when rich asks for the first time
            yield Text(self.text)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        if not self.console.is_terminal:
            self._line()

    def complete(self, reward: float, architecture: str) -> None:
        """Count a completed trial."""
        self.num_completed += 1
        self.last.append(reward)
        self.architectures.add(architecture)
        self.best = max(self.best, reward)
        self.end_trial()

    def end_trial(self) -> None:
        """Count a trial that was completed, stopped early or given up."""
        self.advance(self.task_ids[0])
        if not self.console.is_terminal and time.monotonic() - self._written > _LINE_EVERY:
            self._line()

    def say(self, text: str) -> None:
        """Write a line."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @property
    def text(self) -> str:
        """Best and mean reward, different architectures, and the time that is left."""
        if not self.last:
            return 'no reward yet'
        mean = sum(self.last) / len(self.last)
        seconds = self.tasks[0].time_remaining  # by the trials of this run
        left = 'time left unknown' if seconds is None else f'{timedelta(seconds=round(seconds))} left'
        return (f'best {self.best:.3f}, mean of the last {len(self.last)} {mean:.3f}, '
                f'{len(self.architectures) / self.num_completed:.0%} different, {left}')

    def _line(self) -> None:
        self._written = time.monotonic()
        self.say(f'{self.tasks[0].completed:.0f} of {self.tasks[0].total:.0f} trials: {self.text}')
