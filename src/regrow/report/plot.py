"""A line plot as numbers a template can draw: paths in a unit box, and ticks as shares of it.

The page stretches the box to its own width and sets the labels as text beside it, so that they stay readable
on a phone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000.0, 400.0  # units of the paths' coordinates


@dataclass(frozen=True)
class Tick:
    """A label and where it stands, in percent from the left or from the top."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, with round ticks between them."""

    low: float
    high: float
    ticks: list[float]

    def share(self, value: float) -> float:
        """Where `value` lies between low (0) and high (1)."""
        return (value - self.low) / (self.high - self.low)


def axis(low: float, high: float, wanted: int = 5, *, snap: bool = False) -> Axis:
    """An axis over [low, high] with about `wanted` ticks at 1, 2 or 5 times a power of ten.

    `snap`: its ends are moved outwards to ticks.
    """
    if not high > low:
        high = low + (abs(low) or 1.0)
    step = _round_step((high - low) / wanted)
    if snap:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return Axis(low, high, [(first + i) * step for i in range(count)])


def path(xs: Sequence[float], ys: Sequence[float], x_axis: Axis, y_axis: Axis) -> str:
    """An SVG path through the points, in the unit box; it may leave the box, which the page clips."""
    points = (
        f"{x_axis.share(x) * WIDTH:.1f} {(1 - y_axis.share(y)) * HEIGHT:.1f}"
        for x, y in zip(xs, ys, strict=True)
    )
    return "M" + "L".join(points) if xs else ""


def ticks_x(axis: Axis, label: str = "") -> list[Tick]:
    """Ticks from the left, thousands grouped or shortened; `label` goes with the last one."""
    texts = short_numbers(axis.ticks)
    if label and texts:
        texts[-1] = f"{texts[-1]} {label}"
    return [Tick(100 * axis.share(v), text) for v, text in zip(axis.ticks, texts, strict=True)]


def ticks_y(axis: Axis) -> list[Tick]:
    """Ticks from the top."""
    texts = short_numbers(axis.ticks)
    return [Tick(100 * (1 - axis.share(v)), text) for v, text in zip(axis.ticks, texts, strict=True)]


def short_numbers(values: Sequence[float]) -> list[str]:
    """Tick labels with as many decimals as tell them apart; millions as M, tens of thousands as k."""
    largest = max((abs(v) for v in values), default=0.0)
    scale, suffix = (1e6, "M") if largest >= 2e6 else (1e3, "k") if largest >= 2e4 else (1.0, "")
    scaled = [v / scale for v in values]
    gaps = [b - a for a, b in itertools.pairwise(scaled)]
    decimals = max(0, -math.floor(math.log10(min(gaps)) + 1e-9)) if gaps and min(gaps) > 0 else 0
    return [f"{v:,.{decimals}f}{suffix if v else ''}" if v or not suffix else "0" for v in scaled]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * m for m in (1.0, 2.0, 5.0, 10.0) if power * m >= rough * (1 - 1e-9))
