"""The training curve: `log.jsonl` as it stands after restarts, and the lines to draw from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from regrow.core.errors import readable

_MAX_POINTS = 600  # a picture is about as many pixels wide
_SMOOTH_SHARE = 0.06  # of a line's points go into each point of its smoothed form


@dataclass(frozen=True)
class Line:
    """Points in the order of time, each with its step, seconds, tokens and bits per byte."""

    steps: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    bpb: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.bpb)


@dataclass(frozen=True)
class Curve:
    """The training log: the network's line, the mixture's (joint phase only), bad lines counted; looks at the held-out
    text; and, in `bpb`'s place, the learning rate's share of its full value and the gradient norm."""

    network: Line
    mixture: Line
    unreadable: int = 0
    held_out: Line = field(default_factory=Line)
    rate: Line = field(default_factory=Line)
    grad_norm: Line = field(default_factory=Line)


def load_curve(path: Path) -> Curve | None:
    """Read a log; None if there is none or it holds no line.

    A log is only ever appended to. Where a step comes that was there before, training went on from a
    checkpoint or began anew, and what the log said from that step on no longer holds. A line cut short by a
    killed process is counted and left out. Raises DataError if the file cannot be read.
    """
    if not path.exists():
        return None
    with readable(path):
        lines = path.read_bytes().splitlines()
    records: list[dict[str, Any]] = []
    unreadable = 0
    for line in lines:
        record = _record(line)
        if record is None:
            unreadable += bool(line.strip())
            continue
        while records and records[-1]["step"] >= record["step"]:
            records.pop()
        records.append(record)
    if not records:
        return None
    others = (_line(records, key) for key in ("held_out_bpb", "rate", "grad_norm"))
    return Curve(_line(records, "bpb"), _line(records, "blended_bpb"), unreadable, *others)


def thinned(line: Line) -> Line:
    """At most as many points as a picture can show: means of neighbours."""
    size = math.ceil(len(line) / _MAX_POINTS) or 1
    if size == 1:
        return line
    starts = range(0, len(line), size)

    def means(values: list[float]) -> list[float]:
        return [math.fsum(values[i : i + size]) / len(values[i : i + size]) for i in starts]

    return Line(means(line.steps), means(line.seconds), means(line.tokens), means(line.bpb))


def reach_of(line: Line) -> int:
    """How many points to either side go into a point of the smoothed line."""
    return round(len(line) * _SMOOTH_SHARE / 2)


def smoothed(line: Line, cut: float | None = None, reach: int | None = None) -> Line:
    """The same line, each value the mean of its neighbourhood, which is cut evenly at the ends.

    No mean reaches across the step `cut`, where something else began to be trained. `reach`: points to
    either side, by default `reach_of` the line.
    """
    reach = reach_of(line) if reach is None else reach
    middle = len(line) if cut is None else sum(step < cut for step in line.steps)
    values = []
    for i in range(len(line)):
        first, last = (0, middle - 1) if i < middle else (middle, len(line) - 1)
        # Even on both sides, or the ends would lag behind a falling curve.
        r = min(reach, i - first, last - i)
        values.append(math.fsum(line.bpb[i - r : i + r + 1]) / (2 * r + 1))
    return Line(line.steps, line.seconds, line.tokens, values)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    wanted = ("step", "seconds", "tokens", "bpb")
    if not isinstance(record, dict) or not all(_is_number(record.get(key)) for key in wanted):
        return None
    return record


def _line(records: list[dict[str, Any]], key: str) -> Line:
    kept = [r for r in records if _is_number(r.get(key))]
    return Line(
        [float(r["step"]) for r in kept],
        [float(r["seconds"]) for r in kept],
        [float(r["tokens"]) for r in kept],
        [float(r[key]) for r in kept],
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
