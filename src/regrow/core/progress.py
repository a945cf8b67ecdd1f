"""How far a long piece of work is: a bar on a terminal, a line now and then in a log, or nothing.

Everything goes to standard error, so that standard output holds results alone.
"""

from __future__ import annotations

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
            parts.append(f"{_number(rate)} {self._unit}/s")
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

    def end(self) -> None:
        self._bars.stop_task(self._id)
        self._bars.refresh()


def make_progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """What suits `stream` (standard error by default): bars on a terminal, lines elsewhere, or none."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        return Silent()
    return Bars(stream) if stream.isatty() else Lines(stream)


def _rich_progress(stream: TextIO) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units a second; where the unit is seconds, that would always be one, so nothing."""

        def render(self, task: RichTask) -> Text:
            unit = task.fields["unit"]
            speed = task.finished_speed or task.speed
            return Text("" if not speed or unit == "s" else f"{_number(speed)} {unit}/s", style="cyan")

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[shown]}", markup=False),
    ]
    # Drawing ten times a second would cost a two-core machine a percent of its training.
    console = Console(file=stream)
    return Progress(*columns, console=console, speed_estimate_period=20.0, refresh_per_second=3)


def _shown(fields: dict[str, object]) -> list[str]:
    texts = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in fields.values())
    return [f"{name} {text}" for name, text in zip(fields, texts, strict=True)]


def _number(value: float | None) -> str:
    value = value or 0.0
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            return f"{value / (limit if letter != 'k' else 1e3):.3g}{letter}"
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"
