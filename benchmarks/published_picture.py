"""The picture of `regrow bench published`: the score falls, its sum over the vocabulary rises, as counts grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from benchmarks.published_result import Filling, PublishedResult
from benchmarks.svg import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable without colour vision (Okabe and Ito 2008).
_PUBLISHED, _HONEST, _EXACT, _Z, _CONSTANT = "#d55e00", "#0072b2", "#009e73", "#333333", "#cc79a7"
STAND_IN = "exact memory"


def picture(result: PublishedResult) -> bytes:
    """An SVG file of two panels."""

    def draw(figure: Figure) -> Axes:
        score, total = figure.subplots(1, 2)
        counted = [*result.of("text"), *result.of("passes")]
        _scores(score, counted, result.of("constant"))
        _sums(total, counted, result.vocab_size)
        for axes in (score, total):
            axes.set_xscale("log")
            axes.set_xlabel("counts in the tables, before clipping")
        return cast("Axes", score)

    return svg((10.5, 4.2), draw, columns=2)


def _scores(axes: Axes, counted: list[Filling], constants: list[Filling]) -> None:
    x = [f.counts for f in counted]
    scores = [f.scores[STAND_IN] for f in counted]
    axes.plot(x, [s.published_bits for s in scores], "o-", color=_PUBLISHED, ms=4,
              label="published score of the token that came: not a probability")  # fmt: skip
    axes.plot(x, [s.honest_bpb for s in scores], "s-", color=_HONEST, ms=4,
              label="the same divided by its sum over the vocabulary")  # fmt: skip
    axes.plot(x, [f.exact_bpb for f in counted], "-", color=_EXACT, lw=1.6,  # type: ignore[arg-type]
              label="exact memory of the same text, alone")  # fmt: skip
    if constants:
        fullest = max(constants, key=lambda f: f.constant or 0)
        axes.axhline(fullest.scores[STAND_IN].published_bits, ls=":", color=_CONSTANT, lw=1.6,
                     label=f"published score with {fullest.constant:,} in every bucket: not a probability")  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_ylabel("bits per byte; for the published score, as it was claimed")
    axes.set_title("The score falls because the tables fill")


def _sums(axes: Axes, counted: list[Filling], vocab_size: int) -> None:
    x = [f.counts for f in counted]
    scores = [f.scores[STAND_IN] for f in counted]
    axes.fill_between(x, [s.z_min for s in scores], [s.z_max for s in scores], color=_Z, alpha=0.2, lw=0)
    axes.plot(x, [s.z_mean for s in scores], "o-", color=_Z, ms=4)
    axes.axhline(1, color=_EXACT, lw=1.2)
    axes.annotate("a distribution sums to 1", (x[0], 1.0), xytext=(0, 4), textcoords="offset points")
    axes.axhline(vocab_size, color=_Z, lw=0.8, ls=":")
    axes.annotate(f"vocabulary: {vocab_size:,}", (x[0], float(vocab_size)), xytext=(0, 4),
                  textcoords="offset points")  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylabel("sum over the vocabulary (mean; band: least to greatest)")
    axes.set_title("What the published scores of one position sum to")
