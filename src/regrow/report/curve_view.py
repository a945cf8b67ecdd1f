"""The training curves of all runs in one plot, once over seconds and once over tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

from regrow.report.curve import Curve, Line, reach_of, smoothed, thinned
from regrow.report.plot import HEIGHT, WIDTH, Axis, Tick, axis, path, ticks_x, ticks_y
from regrow.report.run_files import RunFiles

_SMALL: list[tuple[str, Callable[[Curve], Line]]] = [
    ("learning rate, share of its full value", lambda curve: curve.rate),
    ("gradient norm", lambda curve: curve.grad_norm),
]
_HIDDEN_START = 0.08  # share of the lines at their start that does not decide how high the plot is


@dataclass(frozen=True)
class Stroke:
    """One path: `kind` network, mixture or held-out, its run's place and name, and whether it is the smoothed form."""

    kind: str
    name: str
    run: int
    smooth: bool
    path: str


@dataclass(frozen=True)
class PlotView:
    """One plot. `joint`: percents from the left between which the joint phase lies, for a single run."""

    name: str
    strokes: list[Stroke]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    joint: tuple[float, float] | None
    x_ends: tuple[float, float]  # values at the plot's left and right, bottom and top, for who points into it
    y_ends: tuple[float, float]
    width: float = WIDTH
    height: float = HEIGHT
    title: str = ""  # the runs it is of, where it is not of all


@dataclass(frozen=True)
class LastValue:
    """Means of the ends of a run's lines, in bits per byte; `mixture` None if nothing was mixed in training."""

    run: int
    name: str
    network: float
    mixture: float | None
    held_out: float | None = None  # the best


def curve_plots(runs: list[RunFiles]) -> list[PlotView]:
    """Plots over seconds and over tokens; empty if no run has a log. Runs on different texts have plots of their own,
    for their bits per byte have no scale in common."""
    plots = []
    for text, title in _texts(runs):
        lines = [
            (kind, number, thinned(line), _soft(line, run.curve) if kind != "held-out" else thinned(line))
            for number, run in enumerate(runs)
            if run.curve is not None and run.result.data.val_sha256 == text
            for kind, line in (
                ("network", run.curve.network),
                ("mixture", run.curve.mixture),
                ("held-out", run.curve.held_out),
            )
            if len(line)
        ]
        y_axis = _height([line for _, _, line, _ in lines], [soft for *_, soft in lines])
        single = len(runs) == 1
        plots += [
            replace(_plot(name, runs, lines, y_axis, single), title=title) for name in ("seconds", "tokens")
        ]
    return plots


def _texts(runs: list[RunFiles]) -> list[tuple[str, str]]:
    """The held-out texts of the runs with a log, each with the names of its runs if there are several texts."""
    texts = dict.fromkeys(run.result.data.val_sha256 for run in runs if run.curve is not None)
    names = {
        text: ", ".join(run.name for run in runs if run.result.data.val_sha256 == text) for text in texts
    }
    return [(text, names[text] if len(texts) > 1 else "") for text in texts]


def small_plots(runs: list[RunFiles]) -> list[PlotView]:
    """Learning rate and gradient norm over the tokens, of each text apart; empty if no run has a log."""
    plots = []
    for (text, title), (name, line_of) in product(_texts(runs), _SMALL):
        lines = [
            ("network", number, thinned(line_of(run.curve)), thinned(line_of(run.curve)))
            for number, run in enumerate(runs)
            if run.curve is not None and run.result.data.val_sha256 == text and len(line_of(run.curve))
        ]
        if lines:
            y_axis = axis(0.0, max(max(line.bpb) for *_, line in lines), 3, snap=True)
            plots.append(replace(_plot("tokens", runs, lines, y_axis, single=False), name=name, title=title))
    return plots


def last_values(runs: list[RunFiles]) -> list[LastValue]:
    """Where each curve ends, runs without a log left out."""
    found = []
    for number, run in enumerate(runs):
        if run.curve is None:
            continue
        mixture = _end(run.curve.mixture, run.curve) if len(run.curve.mixture) else None
        held_out = min(run.curve.held_out.bpb, default=None)
        found.append(LastValue(number, run.name, _end(run.curve.network, run.curve), mixture, held_out))
    return found


def _soft(line: Line, curve: Curve) -> Line:
    # Where the mixture begins to be trained, what the network alone says changes its course within a few steps.
    cut = curve.mixture.steps[0] if len(curve.mixture) else None
    return smoothed(thinned(line), cut, _reach(curve))


def _reach(curve: Curve) -> int:
    # One measure for both lines: the mixture's is short, and by its own length would hardly be smoothed.
    return reach_of(thinned(curve.network))


def _end(line: Line, curve: Curve) -> float:
    """The mean of the line's end, over as many points as the smoothed line's values."""
    last = thinned(line).bpb[-2 * _reach(curve) - 1 :]
    return math.fsum(last) / len(last)


def _height(lines: list[Line], soft: list[Line]) -> Axis:
    def shown(several: list[Line]) -> list[float]:
        return [v for line in several for v in line.bpb[int(len(line) * _HIDDEN_START) :]]

    return axis(min(shown(lines)), max(shown(soft)), snap=True)


def _plot(
    name: str, runs: list[RunFiles], lines: list[tuple[str, int, Line, Line]], y_axis: Axis, single: bool
) -> PlotView:
    def xs(line: Line) -> list[float]:
        return line.seconds if name == "seconds" else line.tokens

    x_axis = axis(0.0, max(xs(line)[-1] for _, _, line, _ in lines))
    strokes = [
        Stroke(
            kind, runs[run].name, run, smooth, path(xs(line), (soft if smooth else line).bpb, x_axis, y_axis)
        )
        for smooth in (False, True)
        for kind, run, line, soft in lines
    ]
    mixed = next((line for kind, _, line, _ in lines if kind == "mixture"), None) if single else None
    joint = (100 * x_axis.share(xs(mixed)[0]), 100.0) if mixed is not None else None
    unit = "s" if name == "seconds" else ""
    return PlotView(
        name, strokes, ticks_x(x_axis, unit), ticks_y(y_axis), joint,
        (x_axis.low, x_axis.high), (y_axis.low, y_axis.high),
    )  # fmt: skip
