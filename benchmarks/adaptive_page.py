"""The page about adapting, docs/adaptive.md, and its picture, from dated results; every figure on it is a result's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from benchmarks.adaptive import AdaptiveResult
from benchmarks.svg import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE = "adaptive.svg"
_WORDS = {
    "fixed": "the fixed predictor, in the streams of its proof",
    "windows": "the same in windows that overlap by half",
    "few streams": "the same in the adaptive predictor's streams: fewer cold starts",
    "memory": "recent text and the online mixer",
    "training": "score-first training alone",
    "all": "recent text, online mixer and training",
}
_COLOURS = {"few streams": "#7f7f7f", "memory": "#0072b2", "training": "#e69f00", "all": "#d55e00"}


def page(results: list[tuple[AdaptiveResult, str]]) -> str:
    """The whole page as Markdown, from results and where each lies."""
    sources = ", ".join(f"`{source}`" for _, source in results)
    parts = [
        "# Learning from the text that is scored, measured",
        "",
        f"This page is made from {sources} by `python docs/make_adaptive.py`; run `regrow bench adaptive` for new "
        "figures, do not edit the page.",
        "",
        "`regrow eval --ttt` and `regrow prove --ttt` score a text by a predictor that learns from what it has scored. "
        "It is legal by construction: a distribution is fixed before its token is known, and the decoder, which knows "
        "what it has decoded so far and nothing else, repeats every update in the same order and at the same shapes. "
        "What is learned:",
        "",
        "- **Recent text.** Counts of what followed each context of 1 to `eval.adapt_orders` tokens, in all "
        "streams and in the stream itself; a count fades each time its context is met. At most "
        "`eval.adapt_tokens` tokens are kept.",
        "- **The online mixer.** One normalised product of what the artifact says and what recent text says; "
        "exponents, a bias a token and the weights of recent counts move by AdaGrad inside a box after every "
        "lock-step. The cost is convex in them stage by stage, so regret against the best fixed choice grows like the "
        "square root of the text's length (Duchi, Hazan and Singer 2011).",
        "- **The adapters.** A chunk that has been scored, unless it is the last, is trained on once "
        "(`eval.ttt*`), as parameter-golf's legal test-time training has it.",
        "",
    ]
    for result, source in results:
        parts += _text(result, source)
    parts += [
        f"![Bits a byte saved against the fixed predictor, by position in the text]({PICTURE})",
        "",
        "The picture: bits a byte saved against the fixed predictor in each fortieth of the text. The adaptive "
        "predictor codes its streams side by side: a place in the middle of a stream has as much text behind it as the "
        "same place of any other, and the teeth are the streams' beginnings.",
        "",
    ]
    return "\n".join(parts)


def _text(result: AdaptiveResult, source: str) -> list[str]:
    machine, fixed = result.machine, result.arm("fixed")
    rows = [
        "| arm | what | bits per byte | saved | proven | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for arm in result.arms:
        proof = result.proofs.get(arm.name)
        proven = f"{proof.bpb:.4f}" if proof is not None and proof.sha256_match else "-"
        rows.append(
            f"| {arm.name} | {_WORDS[arm.name]} | {arm.bpb:.4f} | {fixed.bpb - arm.bpb:+.4f} | {proven} "
            f"| {arm.seconds:.1f} |"
        )
    decoding = ", ".join(
        f"{name} {p.encode_seconds:.0f} and {p.decode_seconds:.0f} s" for name, p in result.proofs.items()
    )
    gap = max(
        (abs(p.bpb / result.arm(name).bpb - 1) for name, p in result.proofs.items() if name != "fixed"),
        default=0.0,
    )
    return [
        f"## {result.text}",
        "",
        f"{result.date}, regrow {result.version}, torch {machine.torch}, {machine.device}, {machine.threads} threads, "
        f"{machine.dtype}. {result.raw_bytes:,} bytes, {result.tokens:,} tokens; an artifact of "
        f"{result.artifact_bytes:,} bytes. Fixed: {result.streams} streams; windows move by {result.stride} tokens; "
        f"adapting: {result.settings}.",
        "",
        *rows,
        "",
        f"Recent text and mixer without network and stored memory: {result.memory_tokens_per_second:,.0f} tokens a "
        "second. "
        f"Proven over evaluated, adapting: at most {100 * gap:.2f} % apart. Encoding and decoding: {decoding}.",
        "",
    ]


def picture(results: list[AdaptiveResult]) -> bytes:
    """An SVG file, a panel a text."""

    def draw(figure: Figure) -> Axes:
        panels = figure.subplots(1, len(results), squeeze=False)[0]
        for axes, result in zip(panels, results, strict=True):
            _saved(axes, result)
        return cast("Axes", panels[0])

    return svg((5.75 * len(results), 3.6), draw)


def _saved(axes: Axes, result: AdaptiveResult) -> None:
    fixed = np.array(result.arm("fixed").bits)
    bytes_a_bin = result.raw_bytes / len(fixed)
    places = (np.arange(len(fixed)) + 0.5) * bytes_a_bin / 1e6
    for arm in result.arms:
        if arm.name in _COLOURS:
            saved = (fixed - np.array(arm.bits)) / bytes_a_bin
            axes.plot(places, saved, "-", color=_COLOURS[arm.name], label=arm.name, lw=1.3)
    axes.axhline(0, color="#333333", lw=0.6)
    axes.set_xlabel("place in the text, million bytes")
    axes.set_ylabel("bits a byte saved")
    axes.set_title(result.text)
