"""The picture of a bench of bases: bits per byte by depth, the stream by layer, equal bytes and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from benchmarks.bases_result import BasesResult, Figures, mean_by_layer
from benchmarks.svg import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable without colour vision (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#009e73", "#d55e00", "#cc79a7", "#7f7f7f", "#e69f00")


def picture(result: BasesResult) -> bytes:
    """An SVG file of three panels."""

    def draw(figure: Figure) -> Axes:
        by_depth, stream, equal = figure.subplots(1, 3, width_ratios=(1.15, 1.15, 0.8))
        _by_depth(by_depth, result)
        _stream(stream, result)
        _equal(equal, result)
        return cast("Axes", stream)

    return svg((11.5, 4.0), draw)


def _by_depth(axes: Axes, result: BasesResult) -> None:
    depths, arms = result.depths(), result.arms("depth")
    for index, arm in enumerate(arms):
        for place, n_layer in enumerate(depths):
            runs = result.of("depth", arm, n_layer)
            _dots(axes, place + 0.14 * (index - (len(arms) - 1) / 2), runs, "bpb", _COLOURS[index])
    axes.set_xticks(range(len(depths)), [f"{n} layers" for n in depths])
    axes.set_xlim(-0.5, len(depths) - 0.5)
    axes.set_ylabel("held-out bits per byte, network alone")
    axes.set_title("Bases at equal steps: a dot a seed, a bar the mean")


def _stream(axes: Axes, result: BasesResult) -> None:
    from matplotlib.ticker import MaxNLocator

    deep = result.depths()[-1]
    for index, arm in enumerate(result.arms("depth")):
        runs = result.of("depth", arm, deep)
        for field, style in (("rms_start", ":"), ("rms_end", "-")):
            means = mean_by_layer(runs, field)
            heights = [float("nan") if m is None else m for m in means]
            label = arm if style == "-" else None
            axes.plot(range(len(means)), heights, style, color=_COLOURS[index], label=label, lw=1.4)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("after layer")
    axes.set_ylabel("root mean square")
    axes.set_title(f"Residual stream, {deep} layers (dotted: untrained)")


def _equal(axes: Axes, result: BasesResult) -> None:
    arms = result.arms("bytes")
    labels = []
    for index, arm in enumerate(arms):
        runs = result.of("bytes", arm)
        _dots(axes, index, runs, "bpb_int8", "#333333")
        r = f"\nr {runs[0].r}" if runs[0].seeded != "none" else ""
        labels.append(f"{arm}\nwidth {runs[0].d_model}{r}")
    axes.set_xticks(range(len(arms)), labels)
    axes.set_xlim(-0.5, len(arms) - 0.5)
    axes.set_ylabel("held-out bits per byte, int8")
    axes.set_title("Seeded, at equal bytes and time")


def _dots(axes: Axes, x: float, runs: list[Figures], field: str, colour: str) -> None:
    heights = [y for run in runs if (y := getattr(run, field)) is not None]
    if not heights:
        return
    mean = sum(heights) / len(heights)
    axes.plot([x] * len(heights), heights, "o", color=colour, ms=4, alpha=0.75, mec="none")
    axes.plot([x - 0.06, x + 0.06], [mean, mean], "-", color=colour, lw=2)
