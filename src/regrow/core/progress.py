"""How far a long piece of work is: a bar on a terminal, a line now and then in a log, or nothing.

Everything goes to standard error, so that standard output holds results alone.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn
    from rich.progress import Task as RichTask

SECONDS_BETWEEN_LINES = 5.0


class Task(Protocol):
    """One piece of work under way."""

    def advance(self, n: float = 1.0, **fields: object) -> None:
        """`n` more units are done; `fields` (loss=1.23) are shown beside them until they are given anew."""


class Progress(Protocol):
    """What a workflow reports while it works."""

    def task(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[Task]:
        """A piece of work of `total` units (None: not known), as a context manager that ends it."""

    def log(self, line: str) -> None:
        """A notice for the user: one line that stays."""


class Silent:
    """Reports nothing."""

    @contextmanager
    def task(self, description: str, total: float | None = None, unit: str = "") -> Iterator[Task]:
        """See `Progress.task`."""
        yield self

    def advance(self, n: float = 1.0, **fields: object) -> None:
        """See `Task.advance`."""

    def log(self, line: str) -> None:
        """See `Progress.log`."""


class Lines:
    """Plain lines, for logs: at most one every few seconds while a task runs, and one at its end."""

    def __init__(
        self,
        stream: TextIO,
        every: float = SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._every, self._clock = stream, every, clock

    @contextmanager
    def task(self, description: str, total: float | None = None, unit: str = "") -> Iterator[Task]:
        """See `Progress.task`."""
        line = _LineTask(self, description, total, unit, self._clock, self._every)
        yield line
        line.end()

    def log(self, line: str) -> None:
        """See `Progress.log`."""
        print(line, file=self._stream, flush=True)


class _LineTask:
    def __init__(
        self,
        lines: Lines,
        description: str,
        total: float | None,
        unit: str,
        clock: Callable[[], float],
        every: float,
    ) -> None:
        self._lines, self._description, self._total, self._unit = lines, description, total, unit
        self._clock, self._every = clock, every
        self._done = 0.0
        self._fields: dict[str, object] = {}
        self._started = self._spoke = clock()

    def advance(self, n: float = 1.0, **fields: object) -> None:
        self._done += n
        self._fields.update(fields)
        now = self._clock()
        if now - self._spoke >= self._every:
            self._spoke = now
            self._lines.log(self._sentence(now - self._started))

    def end(self) -> None:
        seconds = self._clock() - self._started
        self._lines.log(", ".join([f"{self._description}: done in {seconds:.1f} s", *_shown(self._fields)]))

    def _sentence(self, seconds: float) -> str:
        rate = self._done / seconds if seconds > 0 else 0.0
        whole = f"/{_number(self._total)}" if self._total else ""
        parts = [f"{self._description}: {_number(self._done)}{whole} {self._unit}".rstrip()]
        if self._unit != "s":
            parts.append(f"{_rate(rate)} {self._unit}/s")
        if self._total and rate > 0:
            parts.append(f"{_clock_time((self._total - self._done) / rate)} left")
        return ", ".join([*parts, *_shown(self._fields)])


class Bars:
    """Bars with rate and time left, for a terminal; tasks within tasks stack up."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: RichProgress | None = None
        self._open = 0

    @contextmanager
    def task(self, description: str, total: float | None = None, unit: str = "") -> Iterator[Task]:
        """See `Progress.task`."""
        if self._bars is None:
            self._bars = _rich_progress(self._stream)
        if self._open == 0:
            self._bars.start()
        self._open += 1
        bar = _BarTask(self._bars, description, total, unit)
        try:
            yield bar
            bar.fill()
        finally:
            bar.end()
            self._open -= 1
            if self._open == 0:
                self._bars.stop()
                self._bars = None

    def log(self, line: str) -> None:
        """See `Progress.log`."""
        if self._bars is None:
            print(line, file=self._stream, flush=True)
        else:
            self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)


class _BarTask:
    def __init__(self, bars: RichProgress, description: str, total: float | None, unit: str) -> None:
        self._bars = bars
        self._fields: dict[str, object] = {}
        self._id = bars.add_task(description, total=total, unit=unit, shown="")

    def advance(self, n: float = 1.0, **fields: object) -> None:
        self._fields.update(fields)
        self._bars.update(self._id, advance=n, shown="  ".join(_shown(self._fields)))

    def fill(self) -> None:
        """What has ended well is done to 100 %: it may have met a limit early, or nobody knew its length."""
        done = self._bars.tasks[self._bars.task_ids.index(self._id)].completed
        self._bars.update(self._id, total=done or 1.0, completed=done or 1.0)

    def end(self) -> None:
        self._bars.stop_task(self._id)
        self._bars.refresh()


def make_progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """What suits `stream` (standard error by default): bars on a terminal or in a notebook that has widgets, lines
    elsewhere, or none."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        return Silent()
    on_terminal = stream.isatty() and not _below_notebook()
    return Bars(stream) if on_terminal or _in_notebook() else Lines(stream)


def _below_notebook() -> bool:
    """Whether a cell's `!command` runs this: it has a terminal then, all of whose redrawing a notebook would keep."""
    return "JPY_PARENT_PID" in os.environ or "inline" in os.environ.get("MPLBACKEND", "")


def _in_notebook() -> bool:
    """Whether this runs in Jupyter with the widgets that a bar is redrawn in; without them lines are better."""
    if "IPython" not in sys.modules or importlib.util.find_spec("ipywidgets") is None:
        return False
    from rich.console import Console

    return Console().is_jupyter


def _rich_progress(stream: TextIO) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units a second; where the unit is seconds, that would always be one, so nothing."""

        def render(self, task: RichTask) -> Text:
            unit = task.fields["unit"]
            speed = task.finished_speed or task.speed
            return Text("" if not speed or unit == "s" else f"{_rate(speed)} {unit}/s", style="cyan")

    class Share(ProgressColumn):
        """Percent done; nothing while the length is not known."""

        def render(self, task: RichTask) -> Text:
            return Text("" if task.total is None else f"{task.percentage:>3.0f}%")

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        Share(),
        Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[shown]}", markup=False),
    ]
    # Drawing ten times a second would cost a two-core machine a percent of its training.
    console = Console(file=stream)
    return Progress(*columns, console=console, speed_estimate_period=20.0, refresh_per_second=3)


def _shown(fields: dict[str, object]) -> list[str]:
    return [_field(name, value) for name, value in fields.items()]


def _field(name: str, value: object) -> str:
    unit, per, second = name.rpartition("_per_")
    if per and isinstance(value, int | float):
        return f"{_rate(value)} {unit}/{second[0]}"
    if isinstance(value, float):
        return f"{name} {value:.4g}" if abs(value) < 1e4 else f"{name} {_number(value)}"
    return f"{name} {value}"


def _rate(value: float) -> str:
    """7.8k: of what varies from second to second more digits say nothing."""
    return f"{value:.3g}" if value < 999.5 else _scaled(value, 1)


def _number(value: float | None) -> str:
    """Below ten thousand as it is, 1.23M above."""
    value = value or 0.0
    if value >= 1e4:
        return _scaled(value, 2)
    return f"{value:.0f}" if value == int(value) else f"{value:.4g}"


def _scaled(value: float, decimals: int) -> str:
    limit, letter = next((unit for unit in ((1e9, "G"), (1e6, "M")) if value >= unit[0]), (1e3, "k"))
    part = value / limit
    return f"{part:.{max(0, decimals - (part >= 10) - (part >= 100))}f}{letter}"


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"
