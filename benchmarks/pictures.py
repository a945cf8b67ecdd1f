"""The pictures beside the pages: one look for all of them, and the same bytes from the same figures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmarks.bases import arms, depths, runs_of
from benchmarks.dated import Found, newest, of_each_text, of_text
from benchmarks.seeds import Row, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable without colour vision (Okabe and Ito 2008).
_BLUE, _GREEN, _RED, _PINK, _GREY, _YELLOW = "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#7f7f7f", "#e69f00"
_DARK = "#333333"
# What each colour becomes for a reader whose scheme is dark: the paper of the docs' dark pages, and lighter inks.
_IN_THE_DARK = {
    "#ffffff": "#1e2129", "#000000": "#dcdfe6", _DARK: "#c3c7d1", _GREY: "#a3a7b0", _BLUE: "#56b4e9",
    _GREEN: "#35c79b", _RED: "#f58b4c", _PINK: "#e3a3c6", _YELLOW: "#f2bf4a",
}  # fmt: skip
_SETTINGS: dict[str, Any] = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10,
    "axes.titlelocation": "left", "legend.frameon": False, "svg.fonttype": "path",
    "svg.hashsalt": "regrow",  # names inside the file follow from this instead of from chance
}  # fmt: skip


def svg(size: tuple[float, float], draw: Callable[[Figure], Axes], columns: int = 0) -> bytes:
    """An SVG file of a figure of `size` inches; one version of matplotlib draws the same bytes each time. Its colours
    follow the reader's scheme, light or dark.

    `draw` fills the figure and returns the panel whose legend stands below all of them, in `columns` (0: in a row).
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(cast(Any, _SETTINGS)):
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.06), facecolor="white")
        handles, labels = draw(figure).get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=columns or max(1, len(labels)))
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    drawn = out.getvalue()
    assert drawn.count(b"</style>") == 1, (
        "the colours of the dark scheme go into matplotlib's one style sheet"
    )
    return drawn.replace(b"</style>", f"\n{_dark_style()}</style>".encode())


def _dark_style() -> str:
    """Rules that stand above the colours in matplotlib's elements; its letters have none, black goes without saying."""
    rules = [
        f'[style*="{kind}: {light}"] {{ {kind}: {dark} !important }}'
        for light, dark in _IN_THE_DARK.items()
        for kind in ("fill", "stroke")
    ]
    ink = f"svg {{ fill: {_IN_THE_DARK['#000000']} }}"
    return "\n".join(["@media (prefers-color-scheme: dark) {", ink, *rules, "}"])


def bases(results: Path) -> bytes:
    """Bits per byte by depth, the residual stream by layer, equal bytes and time."""
    found = newest("bases", results)
    names, layers, equal = arms(found, "depth"), depths(found), arms(found, "bytes")
    colours = dict(zip(names, (_BLUE, _GREEN, _RED, _PINK, _GREY, _YELLOW), strict=False))

    def draw(figure: Figure) -> Axes:
        by_depth, stream, seeded = figure.subplots(1, 3, width_ratios=(1.15, 1.15, 0.8))
        for index, arm in enumerate(names):
            for place, n in enumerate(layers):
                x = place + 0.14 * (index - (len(names) - 1) / 2)
                _dots(by_depth, x, runs_of(found, "depth", arm, n), "bpb", colours[arm])
            for field, style in (("rms_start", ":"), ("rms_end", "-")):
                by_layer = zip(*(run[field] for run in runs_of(found, "depth", arm, layers[-1])), strict=True)
                means = [m.mean if (m := spread(column)) else float("nan") for column in by_layer]
                name = arm if style == "-" else None
                stream.plot(range(len(means)), means, style, color=colours[arm], label=name, lw=1.4)
        for index, arm in enumerate(equal):
            _dots(seeded, index, runs_of(found, "bytes", arm), "bpb_int8", _DARK)
        first = [runs_of(found, "bytes", arm)[0] for arm in equal]
        labels = [f"{r['arm']}\nwidth {r['d_model']}" + (f"\nr {r['r']}" if r["r"] else "") for r in first]
        by_depth.set_xticks(range(len(layers)), [f"{n} layers" for n in layers])
        seeded.set_xticks(range(len(equal)), labels)
        stream.set_yscale("log", base=2)
        stream.yaxis.set_major_formatter("{x:g}")
        _say(
            by_depth,
            "Bases at equal steps: a dot a seed, a bar the mean",
            "",
            "held-out bits per byte, network alone",
        )
        _say(
            stream,
            f"Residual stream, {layers[-1]} layers (dotted: untrained)",
            "after layer",
            "root mean square",
        )
        _say(seeded, "Seeded, at equal bytes and time", "", "held-out bits per byte, int8")
        return cast("Axes", stream)

    return svg((11.5, 4.0), draw)


def published(results: Path) -> bytes:
    """The score falls, and its sum over the vocabulary rises, as counts grow."""
    found = newest("published", results)
    counted = [f for f in found["fillings"] if f["kind"] != "constant"]
    constants = [f for f in found["fillings"] if f["kind"] == "constant"]
    x = [f["counts"] for f in counted]
    scores = [f["scores"]["exact memory"] for f in counted]

    def draw(figure: Figure) -> Axes:
        score, total = figure.subplots(1, 2)
        claimed, divided = [s["published_bits"] for s in scores], [s["honest_bpb"] for s in scores]
        for values, style, colour, name in (
            (claimed, "o-", _RED, "published score of the token that came: not a probability"),
            (divided, "s-", _BLUE, "the same divided by its sum over the vocabulary"),
            ([f["exact_bpb"] for f in counted], "-", _GREEN, "exact memory of the same text, alone"),
        ):
            score.plot(x, values, style, color=colour, ms=4, label=name)
        if constants:
            full = constants[-1]
            name = f"published score with {full['constant']:,} in every bucket: not a probability"
            score.axhline(
                full["scores"]["exact memory"]["published_bits"], ls=":", color=_PINK, lw=1.6, label=name
            )
        score.set_ylim(bottom=0)
        total.fill_between(
            x, [s["z_min"] for s in scores], [s["z_max"] for s in scores], color=_DARK, alpha=0.2, lw=0
        )
        total.plot(x, [s["z_mean"] for s in scores], "o-", color=_DARK, ms=4)
        vocabulary = float(found["vocab_size"])
        for height, text in (
            (1.0, "a distribution sums to 1"),
            (vocabulary, f"vocabulary: {vocabulary:,.0f}"),
        ):
            total.axhline(height, color=_GREEN, lw=1)
            total.annotate(text, (x[0], height), xytext=(0, 4), textcoords="offset points")
        total.set_yscale("log")
        for axes in (score, total):
            axes.set_xscale("log")
        counts = "counts in the tables, before clipping"
        claim = "bits per byte; for the published score, as it was claimed"
        _say(score, "The score falls because the tables fill", counts, claim)
        _say(
            total,
            "What the scores of one position sum to",
            counts,
            "sum over the vocabulary (band: min to max)",
        )
        return cast("Axes", score)

    return svg((10.5, 4.2), draw, columns=2)


def memory(results: Path) -> bytes:
    """Both stored forms: what their bytes predict, and what loading costs."""
    rows, kenlm = newest("forms", results)["rows"], newest("ngram", results)["kenlm"]

    def draw(figure: Figure) -> Axes:
        score, load = figure.subplots(1, 2)
        for axes, key in ((score, "bpb"), (load, "load_seconds")):
            for form, colour in (("table", _BLUE), ("text", _RED)):
                places = sorted((row["bytes"] / 1e6, row[key]) for row in rows if row["form"] == form)
                axes.plot(*zip(*places, strict=True), "o-", color=colour, ms=4, label=form)
            axes.set_xscale("log")
        if kenlm is not None:
            score.plot(
                [kenlm["trie_bytes"] / 1e6], [kenlm["bpb"]], "D", color=_DARK, ms=5, label="KenLM's trie"
            )
        load.set_yscale("log")
        _say(score, "What the bytes predict", "megabytes", "bits per byte, memory alone")
        _say(load, "What loading costs", "megabytes", "seconds to load")
        return cast("Axes", score)

    return svg((10.5, 3.8), draw)


def adaptive(results: Path) -> bytes:
    """Bits per byte saved against the fixed predictor by place in the text, a panel per text."""
    texts = [of_text(text, results) for text in ("books validation", "held-out years")]
    colours = {"few streams": _GREY, "memory": _BLUE, "training": _YELLOW, "all": _RED}

    def panel(axes: Axes, found: Found) -> None:
        bits = {arm["name"]: np.array(arm["bits"]) for arm in found["arms"]}
        bytes_per_bin = found["raw_bytes"] / len(bits["fixed"])
        places = (np.arange(len(bits["fixed"])) + 0.5) * bytes_per_bin / 1e6
        for name, colour in colours.items():
            if name in bits:
                axes.plot(
                    places,
                    (bits["fixed"] - bits[name]) / bytes_per_bin,
                    "-",
                    color=colour,
                    label=name,
                    lw=1.3,
                )
        axes.axhline(0, color=_DARK, lw=0.6)
        _say(axes, found["text"], "place in the text, million bytes", "bits per byte saved")

    def draw(figure: Figure) -> Axes:
        panels = figure.subplots(1, len(texts), squeeze=False)[0]
        for axes, found in zip(panels, texts, strict=True):
            panel(axes, found)
        return cast("Axes", panels[0])

    return svg((5.75 * len(texts), 3.6), draw)


def records(results: Path) -> bytes:
    """Bytes a record of each text with each codec."""
    log, found = newest("records-log", results), newest("records", results)
    texts = [log["texts"][0], *(text for text in found["texts"] if text["name"] != log["texts"][0]["name"])]
    colours = (_BLUE, _GREY, _YELLOW, _GREEN, _PINK)

    def panel(axes: Axes, text: Found) -> None:
        sizes = [row["bytes"] / text["records"] for row in text["rows"]]
        bars = axes.bar(range(len(sizes)), sizes, color=colours[: len(sizes)])
        axes.margins(y=0.1)
        axes.bar_label(bars, fmt="{:.1f}", padding=2)
        axes.set_xticks([])
        _say(
            axes,
            f"{text['name']}: records of {text['raw_bytes'] / text['records']:.0f} bytes",
            "",
            "bytes a record",
        )
        for bar, row in zip(bars, text["rows"], strict=True):
            bar.set_label(row["codec"])

    def draw(figure: Figure) -> Axes:
        panels = figure.subplots(1, len(texts), squeeze=False)[0]
        for axes, text in zip(panels, texts, strict=True):
            panel(axes, text)
        return cast("Axes", panels[-1])

    return svg((3.8 * len(texts), 3.4), draw, columns=3)


def quality(results: Path) -> bytes:
    """Every row of each text as a bar, the worst on top."""
    texts = of_each_text("quality", results)

    def panel(axes: Axes, found: Found) -> None:
        rows = found["held_out"]["rows"][::-1]
        for ours, colour, label in ((True, _BLUE, "regrow"), (False, _GREY, "peers")):
            places = [place for place, row in enumerate(rows) if row["ours"] == ours]
            bars = axes.barh(places, [rows[place]["bpb"] for place in places], color=colour, label=label)
            axes.bar_label(bars, fmt="{:.3f}", padding=2)
        axes.set_yticks(range(len(rows)), [row["name"].removeprefix("regrow: ") for row in rows])
        axes.margins(x=0.12)
        _say(axes, found["held_out"]["name"], "held-out bits per byte", "")

    def draw(figure: Figure) -> Axes:
        panels = figure.subplots(max(1, len(texts)), squeeze=False)[:, 0]
        for axes, found in zip(panels, texts, strict=False):
            panel(axes, found)
        return cast("Axes", panels[-1])

    return svg((8.0, 4.4 * max(1, len(texts))), draw)


PICTURES = {
    "bases": bases,
    "published": published,
    "memory": memory,
    "adaptive": adaptive,
    "records": records,
    "quality": quality,
}


def _dots(axes: Axes, x: float, runs: list[Row], field: str, colour: str) -> None:
    heights = [run[field] for run in runs if run[field] is not None]
    if heights:
        mean = sum(heights) / len(heights)
        axes.plot([x] * len(heights), heights, "o", color=colour, ms=4, alpha=0.75, mec="none")
        axes.plot([x - 0.06, x + 0.06], [mean, mean], "-", color=colour, lw=2)


def _say(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
