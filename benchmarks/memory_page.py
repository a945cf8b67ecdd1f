"""The page about the n-gram memory, docs/memory.md, from dated results of three benches; every figure is a result's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from benchmarks.forms import WHOLE
from benchmarks.svg import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE = "memory.svg"
_COLOURS = {"table": "#0072b2", "text": "#d55e00", "kenlm": "#333333"}
_ARMS = {
    "while": "each batch once it has been trained on",
    "ahead": "the whole text first, by one thread",
    "ahead, in parallel": "the whole text first, by all threads",
}
Found = dict[str, Any]  # a dated result as JSON holds it


def page(ngram: Found, forms: Found, prefill: Found, sources: list[str]) -> str:
    """The whole page as Markdown; `sources`: where the three results lie."""
    parts = [
        "# The n-gram memory, measured",
        "",
        f"This page is made from {', '.join(f'`{source}`' for source in sources)} by `python docs/make_memory.py`; run "
        "`regrow bench ngram`, `forms` and `prefill` for new figures, do not edit the page. Bits per byte are those of "
        "the memory alone on held-out text, unless it says otherwise.",
        "",
        *_beside_kenlm(ngram),
        *_forms(forms, ngram),
        *_prefill(prefill),
    ]
    return "\n".join(parts)


def _setting(found: Found) -> str:
    text, machine = found["text"], found["machine"]
    return (
        f"{found['date']}, {machine['device']}, {machine['cores']} cores. Text: {text['name']}, "
        f"{text['train_tokens']:,} training tokens, {text['val_bytes']:,} held-out bytes, vocabulary "
        f"{text['vocab_size']:,}."
    )


def _beside_kenlm(found: Found) -> list[str]:
    ours, kenlm, growth = found["ours"], found["kenlm"], found["growth"]
    rows = [
        ("building, seconds", f"{ours['seconds']:.1f}", f"{kenlm['estimate_seconds']:.1f}",
         f"{kenlm['estimate_seconds'] / ours['seconds']:.1f}"),
        ("peak memory, MB", f"{ours['peak_bytes'] / 1e6:,.0f}", f"{kenlm['estimate_peak_bytes'] / 1e6:,.0f}",
         f"{kenlm['estimate_peak_bytes'] / ours['peak_bytes']:.1f}"),
        ("stored, bytes", f"{ours['text_bytes']:,}", f"{kenlm['trie_bytes']:,}",
         f"{kenlm['trie_bytes'] / ours['text_bytes']:.1f}"),
        ("bits per byte", f"{ours['bpb']:.4f}", f"{kenlm['bpb']:.4f}", ""),
    ]  # fmt: skip
    return [
        "## Beside KenLM",
        "",
        f"{_setting(found)} Order 6, in one run on the same tokens: `lmplz -o 6`, then `build_binary -q 8 -b 8 -a 22 "
        "trie`, whose bits per byte are of the quantised trie.",
        "",
        "| what | regrow | KenLM | ratio |",
        "| --- | --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"With discounts estimated as KenLM does it: {ours['bpb_estimated']:.4f}; order {ours['long']['order']}: "
        f"{ours['long']['bpb']:.4f}, and {ours['long']['bpb_adapting']:.4f} where it learns from the text that it has "
        "scored (recent counts and the online mixer, no network). tokengrams builds its index in "
        f"{found['tokengrams']['seconds']:.1f} s. Full distributions: {ours['rows_per_second']:,.0f} rows a second. An "
        f"added token costs {growth['first_hundredth_us']:.2f} microseconds at first and "
        f"{growth['last_tenth_us']:.2f} at {growth['tokens'] / 1e6:.0f} M tokens.",
        "",
    ]


def _forms(found: Found, ngram: Found) -> list[str]:
    by_form = {(row["form"], row["allowance"]): row for row in found["rows"]}
    lines = [
        "## Two stored forms",
        "",
        f"{_setting(found)} The table holds counts of the whole text, pruned by what each n-gram is worth; the text is "
        "cut to fit, and counted when it is loaded. Loading: from the bytes to a model that predicts.",
        "",
        "| allowed | table: bytes | n-grams | load, s | bits per byte | text: bytes | load, s | bits per byte |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for allowance in sorted({allowance for _, allowance in by_form}):
        table, text = by_form["table", allowance], by_form.get(("text", allowance))
        told = "whole" if allowance == WHOLE else f"{allowance / 1e6:g} MB"
        cells = [
            told, f"{table['bytes']:,}", f"{table['entries']:,}", f"{table['load_seconds']:.1f}", f"{table['bpb']:.4f}",
            *((f"{text['bytes']:,}", f"{text['load_seconds']:.1f}", f"{text['bpb']:.4f}") if text else "---"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"![Bits per byte and load seconds of both forms by bytes]({PICTURE})",
        "",
        _crossing(by_form),
        "",
    ]


def _crossing(by_form: dict[tuple[str, int], Found]) -> str:
    """Which form predicts better where, in words that follow from the figures."""
    both = sorted(a for f, a in by_form if f == "text" and ("table", a) in by_form and a != WHOLE)
    tables = [a for a in both if by_form["table", a]["bpb"] < by_form["text", a]["bpb"] - 1e-4]
    if not tables:
        return "At every allowance the text predicts as well as the table or better."
    best = f"Up to {max(tables) / 1e6:g} MB the table predicts better in its bytes"
    rest = [a for a in both if a > max(tables)]
    if not rest:
        return f"{best}."
    whole = ", which is whole there" if by_form["text", min(rest)]["whole"] else ""
    return f"{best}; from {min(rest) / 1e6:g} MB on the text{whole}."


def _prefill(found: Found) -> list[str]:
    lines = [
        "## Counted ahead or while training",
        "",
        f"{_setting(found)} Each arm has {found['seconds']:.0f} s for counting and training together, the `demo` "
        "network and the same seed; judged by the bits per byte of what it packs.",
        "",
        "| counted | blended | memory | network | tokens trained on | memory, bytes | counting ahead, s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for arm in found["arms"]:
        lines.append(
            f"| {_ARMS[arm['arm']]} | {arm['bpb']:.4f} | {arm['memory_bpb']:.4f} | {arm['neural_bpb']:.4f} | "
            f"{arm['tokens_seen']:,} | {arm['memory_bytes']:,} | {arm['count_seconds_ahead']:.2f} |"
        )
    by_name = {arm["arm"]: arm["bpb"] for arm in found["arms"]}
    gap = by_name["while"] - min(by_name["ahead"], by_name["ahead, in parallel"])
    verdict = "better" if gap > 0 else "worse"
    return [
        *lines,
        "",
        f"Counting ahead is {verdict} by {abs(gap):.4f} bits per byte at equal wall clock. The published entry found "
        "it ten times worse, by a score that is no probability (see published.md).",
        "",
    ]


def picture(ngram: Found, forms: Found) -> bytes:
    """An SVG file of two panels."""

    def draw(figure: Figure) -> Axes:
        score, load = figure.subplots(1, 2)
        _by_bytes(score, forms, "bpb")
        x, y = [ngram["kenlm"]["trie_bytes"] / 1e6], [ngram["kenlm"]["bpb"]]
        score.plot(x, y, "D", color=_COLOURS["kenlm"], ms=5, label="KenLM's trie")
        score.set_ylabel("bits per byte, memory alone")
        score.set_title("What the bytes predict")
        _by_bytes(load, forms, "load_seconds")
        load.set_ylabel("seconds to load")
        load.set_yscale("log")
        load.set_title("What loading costs")
        for axes in (score, load):
            axes.set_xscale("log")
            axes.set_xlabel("megabytes")
        return cast("Axes", score)

    return svg((10.5, 3.8), draw)


def _by_bytes(axes: Axes, forms: Found, key: str) -> None:
    for form in ("table", "text"):
        rows = sorted((row["bytes"], row[key]) for row in forms["rows"] if row["form"] == form)
        x, y = [size / 1e6 for size, _ in rows], [value for _, value in rows]
        axes.plot(x, y, "o-", color=_COLOURS[form], ms=4, label=form)
