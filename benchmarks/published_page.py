"""The page about the published cache, docs/published.md, from one dated result; every figure on it is the result's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.published_picture import STAND_IN
from benchmarks.published_result import Filling, PublishedResult

PICTURE = "published.svg"


def page(result: PublishedResult, source: str) -> str:
    """The whole page as Markdown; `source` is where the result lies, as a reader of the checkout finds it."""
    parts = [
        "# The published cache, measured",
        "",
        f"This page is made from `{source}` by `python docs/make_published.py`; run `regrow bench published` for "
        "new figures, do not edit the page.",
        "",
        *_setting(result),
        "## What is scored",
        "",
        "The published design (parameter-golf 1095) claims 0.0905 bits per byte. Its cache finds a bucket by a hash "
        "of the context *and the token that came*, and gives that token, in the highest order whose count c is 2 or "
        "more, `a c / (c + V) + (1 - a) q`, with `a = min(0.95, ln(1 + c) / 10)`, V the vocabulary and q the "
        "network's probability. Nothing divides by what the context was followed by, so any token that had come "
        "would have had such a score. Below: that score, **which is not a probability**; Z, the sum of the scores "
        "that all tokens would have had at the same place; and the honest figure, score / Z, which a decoder could "
        "use.",
        "",
        *_verdict(result),
        f"![Published score and honest figure by counts, and the sum over the vocabulary]({PICTURE})",
        "",
        *_tables(result),
        *_stored(result),
        *_limits(result),
    ]
    return "\n".join(parts)


def _setting(result: PublishedResult) -> list[str]:
    data, machine = result.data, result.machine
    lines = [
        f"{result.date}, regrow {result.version}, {machine.cores} cores, {result.seconds:.0f} s. Text: {data['name']}, "
        f"{data['train_tokens']:,} training tokens, {data['val_bytes']:,} held-out bytes, vocabulary "
        f"{result.vocab_size:,}. Every figure is over the same {result.positions:,} held-out positions, drawn at "
        f"random with seed {result.seed}. Buckets of orders 2 to {len(result.buckets) + 1}: "
        f"{', '.join(f'{n:,}' for n in result.buckets)}.",
        "",
    ]
    if result.size == "quick":
        lines += ["**A quick run, to see that the bench works: its figures mean nothing.**", ""]
    return lines


def _verdict(result: PublishedResult) -> list[str]:
    """What the figures say, in sentences that follow from them by rule."""
    counted = [*result.of("text"), *result.of("passes")]
    first, last = counted[0], counted[-1]
    low, high = first.scores[STAND_IN], last.scores[STAND_IN]
    lines = [
        f"With the {STAND_IN} in the network's place, itself of the same text:",
        "",
        f"- From {first.counts:,} counts to {last.counts:,}, the published score goes from "
        f"{low.published_bits:.4f} to **{high.published_bits:.4f}** (not a probability), and Z from "
        f"{low.z_mean:.2f} to **{high.z_mean:.1f}**; a distribution has 1.",
        f"- Divided by Z, the last is **{high.honest_bpb:.4f}** bits per byte; no knowledge at all is "
        f"{_uniform(result):.4f}.",
    ]
    passes = result.of("passes")
    if passes and result.of("text"):
        once, often = result.of("text")[-1], passes[-1]
        lines.append(
            f"- Reading the same text {often.passes} times teaches nothing about other text, yet the published score "
            f"falls from {once.scores[STAND_IN].published_bits:.4f} to {often.scores[STAND_IN].published_bits:.4f}."
        )
    for found in result.of("constant")[-1:]:
        score = found.scores[STAND_IN]
        lines.append(
            f"- Tables that were never filled from any text, with {found.constant:,} in every bucket, score "
            f"**{score.published_bits:.4f}** (not a probability), Z {score.z_mean:.1f}"
            + (f", stored in {found.stored_bytes:,} bytes." if found.stored_bytes else ".")
        )
    exact = [f.exact_bpb for f in result.of("text") if f.exact_bpb is not None]
    if exact:
        lines.append(
            f"- The exact memory (modified Kneser-Ney, order {result.exact_order}, unpruned) of the same text: "
            f"**{exact[-1]:.4f}** bits per byte, a distribution."
        )
    return [*lines, ""]


def _uniform(result: PublishedResult) -> float:
    """Bits per byte of the uniform distribution at the sampled positions."""
    return result.fillings[-1].scores["uniform"].base_bpb


def _tables(result: PublishedResult) -> list[str]:
    lines: list[str] = ["## By filling", ""]
    for name in result.fillings[0].scores:
        alone = [f.scores[name].base_bpb for f in result.fillings]
        each = "" if len({round(x, 6) for x in alone}) > 1 else f", alone {alone[0]:.4f} bits per byte"
        lines += [f"The network's place taken by: {name}{each}.", ""]
        lines += _table(
            [
                "tables filled with", "counts", "published score, not a probability", "Z, mean", "Z, least",
                "Z, greatest", "honest bits per byte", "stand-in alone", "exact memory",
            ],
            [_row(f, name) for f in result.fillings],
        )  # fmt: skip
    return lines


def _row(found: Filling, name: str) -> list[str]:
    score = found.scores[name]
    return [
        found.label, f"{found.counts:,}", f"{score.published_bits:.4f}", f"{score.z_mean:.2f}",
        f"{score.z_min:.2f}", f"{score.z_max:.2f}", f"{score.honest_bpb:.4f}", f"{score.base_bpb:.4f}",
        "" if found.exact_bpb is None else f"{found.exact_bpb:.4f}",
    ]  # fmt: skip


def _stored(result: PublishedResult) -> list[str]:
    rows = [
        [f.label, f"{f.stored_bytes:,}", f"{100 * f.in_use:.1f} %", f"{100 * f.full:.1f} %"]
        for f in result.fillings
        if f.stored_bytes is not None
    ]
    return [
        "## Bytes",
        "",
        "16-bit tables, LZMA, as published.",
        "",
        *_table(["tables filled with", "bytes", "buckets in use", "buckets at 65,535"], rows),
    ]


def _limits(result: PublishedResult) -> list[str]:
    return [
        "## What this does not show",
        "",
        "- No network takes part: the stand-ins are worse (uniform, unigrams) or of another kind (exact memory) than "
        "the published network at 1.503 bits per byte. The score moves with c far more than with q once tables are "
        "full.",
        f"- The published run counted about 5.2 billion tokens of web text. Here {result.data['name']} is counted, and "
        "then counted again as often as it takes to reach the published number of counts; new text would fill the "
        "buckets that this text leaves empty.",
        "- The exact memory is unpruned and held in memory here; the cache's bytes are those of its stored form.",
        "",
    ]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "| --- " + "| ---: " * (len(header) - 1) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]
