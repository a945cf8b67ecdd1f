"""Tracing a headline to the log lines it comes from: one line, or the mean of one line over several logs."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from regrow.challenge.audit.record.claims import HeadlineClaim
from regrow.challenge.audit.record.logs import LoggedFigure, TrainingLog

_SUBSETS_AT_MOST = 10


@dataclass(frozen=True)
class HeadlineTrace:
    """Where a headline comes from.

    Attributes:
        kind: `line` (one log line), `mean` (the same line of every log that has it), `subset` (of some of
            them).
        label: the line's label.
        used: (log, reading) of each figure that goes in.
        unused: logs that print the same line and do not go in.
    """

    kind: str
    label: str
    used: tuple[tuple[TrainingLog, LoggedFigure], ...]
    unused: tuple[tuple[TrainingLog, LoggedFigure], ...] = ()

    @property
    def values(self) -> list[float]:
        """The figures that go in, bits per byte."""
        return [reading.bpb for _, reading in self.used]


def last_by_label(log: TrainingLog) -> dict[str, LoggedFigure]:
    """The last reading of each label in a log."""
    return {reading.label: reading for reading in log.readings}


def _rank(reading: LoggedFigure) -> tuple[bool, bool]:
    """Exact final figures first, evaluations during training last."""
    return (reading.step, "exact" not in reading.label)


def find_trace(
    runs: Sequence[TrainingLog], lead: HeadlineClaim | None, seeds: dict[int, float]
) -> HeadlineTrace | None:
    """Find the log lines whose figure, or whose mean, is the headline.

    The mean of one label over all logs is tried first, then a single line, then means over some of the logs
    (those of the claimed seeds first).

    Args:
        runs: the logs. lead: the headline. seeds: each seed's claimed bits per byte.

    Returns:
        None where no line and no mean agrees to the digits printed.
    """
    if lead is None:
        return None
    columns: dict[str, list[tuple[TrainingLog, LoggedFigure]]] = {}
    logs = _distinct(runs)
    for log in logs:
        for label, reading in last_by_label(log).items():
            columns.setdefault(label, []).append((log, reading))
    ordered = sorted(columns.items(), key=lambda item: (_rank(item[1][0][1]), item[0]))
    for label, rows in ordered:
        if len(rows) > 1 and _agrees(rows, lead):
            return HeadlineTrace("mean", label, tuple(rows))
    if found := _of_the_claimed(ordered, lead, seeds):
        return found
    for log in logs:
        for reading in sorted(log.readings, key=_rank):
            # Two figures agree to the digits of the coarser one.
            if abs(reading.bpb - lead.bpb) <= max(lead.tolerance, 1.02 * min(reading.half_unit, 5e-4)):
                others = tuple(
                    r for r in columns[reading.label] if r[0] is not log and r[1].bpb != reading.bpb
                )
                return HeadlineTrace("line", reading.label, ((log, reading),), others)
    return _subset(ordered, lead)


_Row = tuple[TrainingLog, LoggedFigure]


def _split(kind: str, label: str, rows: Sequence[_Row], used: Sequence[_Row]) -> HeadlineTrace:
    taken = {id(log) for log, _ in used}
    return HeadlineTrace(kind, label, tuple(used), tuple(row for row in rows if id(row[0]) not in taken))


def _of_the_claimed(
    ordered: Sequence[tuple[str, list[_Row]]], lead: HeadlineClaim, claims: dict[int, float]
) -> HeadlineTrace | None:
    """The mean over exactly those logs that print the figures claimed for the seeds."""
    if len(claims) < 2:
        return None
    for label, rows in ordered:
        used: list[_Row] = []
        for figure in claims.values():
            near = [row for row in rows if abs(row[1].bpb - figure) <= 6e-5 and row not in used]
            if near:
                used.append(min(near, key=lambda row: abs(row[1].bpb - figure)))
        if len(used) == len(claims) and _agrees(used, lead):
            return _split("mean" if len(used) == len(rows) else "subset", label, rows, used)
    return None


def _subset(ordered: Sequence[tuple[str, list[_Row]]], lead: HeadlineClaim) -> HeadlineTrace | None:
    """A mean over some of the logs, no seed twice, the most of them first."""
    if lead.tolerance > 6e-5:
        return None  # so few digits agree with some mean by chance
    for label, rows in ordered:
        if rows[0][1].step or not 3 <= len(rows) <= _SUBSETS_AT_MOST:
            continue
        if len(rows) > 4 and lead.tolerance > 1e-5:
            continue  # with so many sums to choose from, four digits agree by chance
        for count in range(len(rows) - 1, 1, -1):
            for used in itertools.combinations(rows, count):
                seeds = [log.seed for log, _ in used if log.seed is not None]
                if len(set(seeds)) == len(seeds) and _agrees(used, lead):
                    return _split("subset", label, rows, used)
    return None


def _agrees(rows: Sequence[tuple[TrainingLog, LoggedFigure]], lead: HeadlineClaim) -> bool:
    """Whether the mean of the rows is the headline, to the digits both are printed with."""
    mean = statistics.fmean(reading.bpb for _, reading in rows)
    slack = lead.tolerance + min(lead.tolerance, 5.1e-5) + max(reading.half_unit for _, reading in rows)
    return abs(mean - lead.bpb) <= slack


def _distinct(logs: Sequence[TrainingLog]) -> list[TrainingLog]:
    """One log of each run: a log stored under two names prints the same figures."""
    kept: dict[tuple[float, ...], TrainingLog] = {}
    for log in logs:
        figures = tuple(reading.bpb for reading in log.readings)
        kept.setdefault(figures if figures else (float(id(log)),), log)
    return list(kept.values())
