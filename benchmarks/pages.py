"""The tables of docs/ from the newest dated results, and the pictures beside them: `python -m benchmarks.pages`.

A page is Markdown by hand. Between `<!-- table: NAME ARGUMENT -->` and `<!-- end -->` stands what the function NAME
below makes of the results; a test holds pages and results together.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bases import arms, depths, runs_of
from benchmarks.dated import Found, newest, of_each_text, of_text
from benchmarks.forms import WHOLE
from benchmarks.published import label
from benchmarks.seeds import Row, mean, paired, spread
from regrow.core.errors import DataError
from regrow.core.files import atomic_write_bytes, atomic_write_text

ROOT = Path(__file__).parents[1]
DOCS, RESULTS = ROOT / "docs", ROOT / "bench" / "results"
_MARK = re.compile(r"(<!-- table: (\w+) ?([^\n]*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, results: Path = RESULTS) -> str:
    """`page` with every table made anew from the results in a folder. Raises DataError for a table of no such name."""

    def made(mark: re.Match[str]) -> str:
        if mark[2] not in TABLES:
            raise DataError(
                f"<!-- table: {mark[2]} -->: there is none of that name; there is {', '.join(TABLES)}."
            )
        return mark[1] + "\n".join(TABLES[mark[2]](results, mark[3])) + "\n" + mark[4]

    return _MARK.sub(made, page)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown: the first column to the left, figures to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (header, rule, *rows)]


def columns(rows: Iterable[Row], *spec: tuple[str, str | Callable[[Row], Any], str]) -> list[str]:
    """A table of rows. Of each column: its title, a key of a row or a function of it, and a format; None is empty."""

    def cell(row: Row, what: str | Callable[[Row], Any], form: str) -> str:
        value = row[what] if isinstance(what, str) else what(row)
        return "" if value is None else f"{value:{form}}"

    return table(
        [title for title, _, _ in spec], [[cell(row, what, form) for _, what, form in spec] for row in rows]
    )


def setting(results: Path, name: str) -> list[str]:
    """In a sentence, which result of bench NAME is shown, on what machine and text."""
    return _setting(newest(name, results))


def _setting(found: Found) -> list[str]:
    machine, text = found["machine"], found.get("text") or found["data"]
    facts = {
        "regrow": found.get("version"),
        **{key: machine.get(key) for key in ("torch", "device", "cores", "threads")},
    }
    told = [f"`bench/results/{found['file']}`", *(f"{key} {value}" for key, value in facts.items() if value)]
    told += [f"text `{text['name']}`", f"{text['train_tokens']:,} training tokens"]
    told += [f"{text['val_bytes']:,} held-out bytes"] if "val_bytes" in text else []
    told += [f"vocabulary {n:,}" for n in [text.get("vocab_size", found.get("vocab_size"))] if n]
    warning = "**A quick run, to see that the bench works: its figures mean nothing.** "
    return [(warning if found.get("size") == "quick" else "") + f"Measured: {', '.join(told)}."]


def kenlm(results: Path, _: str) -> list[str]:
    """The memory beside KenLM and tokengrams, as far as they were installed, and other figures of the same run."""
    found = newest("ngram", results)
    ours, theirs, index, growth = found["ours"], found["kenlm"] or {}, found["tokengrams"], found["growth"]
    long = ours["long"]
    rows = [
        ("building, seconds", ours["seconds"], theirs.get("estimate_seconds"), ".1f"),
        ("  by tokengrams, which estimates nothing", None, index and index["seconds"], ".1f"),
        ("peak memory, bytes", ours["peak_bytes"], theirs.get("estimate_peak_bytes"), ","),
        ("stored, bytes", ours["text_bytes"], theirs.get("trie_bytes"), ","),
        ("bits per byte", ours["bpb"], theirs.get("bpb"), ".4f"),
        ("  with discounts estimated as KenLM does it", ours["bpb_estimated"], None, ".4f"),
        (f"  order {long['order']}", long["bpb"], None, ".4f"),
        (f"  order {long['order']}, adaptive", long["bpb_adapting"], None, ".4f"),
        ("full distributions, rows per second", ours["rows_per_second"], None, ",.0f"),
        ("an added token, microseconds, at first", growth["first_hundredth_us"], None, ".2f"),
        (f"  at {growth['tokens'] / 1e6:.0f} M tokens", growth["last_tenth_us"], None, ".2f"),
    ]
    cells = [["" if x is None else f"{x:{form}}" for x in (ours, theirs)] for _, ours, theirs, form in rows]
    ratios = [f"{b / a:.1f}" if a and b and form != ".4f" else "" for _, a, b, form in rows]
    told = [[row[0].strip(), *pair, ratio] for row, pair, ratio in zip(rows, cells, ratios, strict=True)]
    return table(["what", "regrow", "peer", "ratio"], told)


def forms(results: Path, _: str) -> list[str]:
    """The two stored forms by allowance."""
    rows = newest("forms", results)["rows"]
    text = {row["allowance"]: row for row in rows if row["form"] == "text"}

    def of(key: str) -> Callable[[Row], Any]:
        return lambda row: text.get(row["allowance"], {}).get(key)

    return columns(
        (row for row in rows if row["form"] == "table"),
        ("allowed", lambda r: "whole" if r["allowance"] == WHOLE else f"{r['allowance'] / 1e6:g} MB", ""),
        ("table: bytes", "bytes", ","), ("n-grams", "entries", ","), ("load, s", "load_seconds", ".1f"),
        ("bits per byte", "bpb", ".4f"), ("text: bytes", of("bytes"), ","), ("load, s", of("load_seconds"), ".1f"),
        ("bits per byte", of("bpb"), ".4f"),
    )  # fmt: skip


def prefill(results: Path, _: str) -> list[str]:
    """Counting ahead of training or while it goes on."""
    return columns(
        newest("prefill", results)["arms"], ("counted", "arm", ""), ("mixture", "bpb", ".4f"),
        ("memory", "memory_bpb", ".4f"), ("network", "neural_bpb", ".4f"), ("tokens trained on", "tokens_seen", ","),
        ("memory, bytes", "memory_bytes", ","), ("counting ahead, s", "count_seconds_ahead", ".2f"),
    )  # fmt: skip


def adaptive(results: Path, text: str) -> list[str]:
    """A text under every arm."""
    found = of_text(text, results)
    fixed, machine = found["arms"][0]["bpb"], found["machine"]

    def proven(key: str) -> Callable[[Row], Any]:
        return lambda arm: found["proofs"].get(arm["name"], {}).get(key)

    return [
        f"Measured: `bench/results/{found['file']}`, regrow {found['version']}, torch {machine['torch']}, "
        f"device {machine['device']}, threads {machine['threads']}; {found['raw_bytes']:,} bytes, "
        f"{found['tokens']:,} tokens, an artifact of "
        f"{found['artifact_bytes']:,} bytes. Fixed: {found['streams']} streams; windows move by {found['stride']} "
        f"tokens; adaptive: {found['settings']}. Recent text and mixer without network and stored memory: "
        f"{found['memory_tokens_per_second']:,.0f} tokens per second.",
        "",
        *columns(
            found["arms"], ("arm", "name", ""), ("bits per byte", "bpb", ".4f"),
            ("saved", lambda arm: fixed - arm["bpb"], "+.4f"), ("proven", proven("bpb"), ".4f"),
            ("scoring, s", "seconds", ".1f"), ("encoding, s", proven("encode_seconds"), ".0f"),
            ("decoding, s", proven("decode_seconds"), ".0f"),
        ),
    ]  # fmt: skip


def depth(results: Path, _: str) -> list[str]:
    """Bases by depth: bits per byte, difference to the first, the stream's end, and how far adapters moved."""
    found = newest("bases", results)
    names = arms(found, "depth")

    def at(n: int) -> list[tuple[str, Callable[[Row], Any], str]]:
        def of(row: Row) -> list[Row]:
            return runs_of(found, "depth", row["arm"], n)

        against = runs_of(found, "depth", names[0], n)
        return [
            (f"{n} layers", lambda row: _bpb(of(row), "bpb"), ""),
            (f"minus {names[0]}", lambda row: _gap(of(row), against, "bpb"), ""),
            ("stream after the last layer", lambda row: mean(r["rms_end"][-1] for r in of(row)), ".2f"),
            ("adapter / base", lambda row: mean(r["adapter_share"] for r in of(row)), ".2f"),
        ]

    layers = [column for n in depths(found) for column in at(n)]
    firsts = [runs_of(found, "depth", arm)[0] for arm in names]
    return columns(firsts, ("base", "arm", ""), ("gain", lambda row: f"`{row['gain']}`", ""), *layers)


def gains(results: Path, _: str) -> list[str]:
    """Entries and singular values of the first block's bases."""
    rows = [
        {"base": arm, "matrix": f"`{matrix}`", **facts}
        for arm, matrices in newest("bases", results)["gains"].items()
        for matrix, facts in matrices.items()
        if matrix.split()[0] in ("q", "up", "down")
    ]
    return columns(
        rows, ("base", "base", ""), ("matrix", "matrix", ""), ("entries", "entry_rms", ".4f"),
        ("min singular value", "least", ".3f"), ("max", "greatest", ".3f"),
    )  # fmt: skip


def stream(results: Path, _: str) -> list[str]:
    """The residual stream by layer, before and after training."""
    found = newest("bases", results)
    deep, rows = depths(found)[-1], []
    for arm in arms(found, "depth"):
        for field, when in (("rms_start", "before"), ("rms_end", "after")):
            by_layer = zip(*(run[field] for run in runs_of(found, "depth", arm, deep)), strict=True)
            rows.append([arm, when, *(f"{m:.2f}" if (m := mean(column)) else "" for column in by_layer)])
    return table(["base", "training", *map(str, range(deep + 1))], rows)


def equal_bytes(results: Path, _: str) -> list[str]:
    """Which matrices to seed at equal bytes and time."""
    found = newest("bases", results)
    names = arms(found, "bytes")

    def of(row: Row) -> list[Row]:
        return runs_of(found, "bytes", row["arm"])

    return columns(
        (runs_of(found, "bytes", arm)[0] for arm in names), ("seeded", "arm", ""), ("width", "d_model", ""),
        ("r", "r", ""), ("frozen", "frozen", ","), ("bytes estimated", "estimated_bytes", ","),
        ("bytes packed", lambda row: mean(r["packed_bytes"] for r in of(row)), ",.0f"),
        ("tokens seen", lambda row: mean(r["tokens"] for r in of(row)), ",.0f"),
        ("bits per byte", lambda row: _bpb(of(row), "bpb"), ""),
        ("after int8", lambda row: _bpb(of(row), "bpb_int8"), ""),
        (f"minus {names[0]}", lambda row: _gap(of(row), runs_of(found, "bytes", names[0]), "bpb_int8"), ""),
    )  # fmt: skip


def published(results: Path, stand_in: str) -> list[str]:
    """Every filling of the published cache with a stand-in for the network."""
    return columns(
        ({**f, **f["scores"][stand_in]} for f in newest("published", results)["fillings"]),
        ("tables filled with", label, ""), ("counts", "counts", ","),
        ("published score (not a probability)", "published_bits", ".4f"), ("Z mean", "z_mean", ".2f"),
        ("Z min", "z_min", ".2f"), ("Z max", "z_max", ".2f"), ("honest bits per byte", "honest_bpb", ".4f"),
        ("stand-in alone", "base_bpb", ".4f"), ("exact memory", "exact_bpb", ".4f"),
    )  # fmt: skip


def cache_bytes(results: Path, _: str) -> list[str]:
    """What the published cache's tables take when stored."""
    return columns(
        (f for f in newest("published", results)["fillings"] if f["stored_bytes"] is not None),
        ("tables filled with", label, ""), ("bytes", "stored_bytes", ","), ("buckets in use", "in_use", ".1%"),
        ("buckets at 65,535", "full", ".1%"),
    )  # fmt: skip


def merge(results: Path, _: str) -> list[str]:
    """Two processes that count and merge, by round: the slower of both, and the larger."""
    largest = [{key: max(p[key] for p in r) for key in r[0]} for r in newest("merge", results)["rounds"]]
    return columns(
        ({"run": i, **row} for i, row in enumerate(largest, 1)), ("run", "run", ""),
        ("counting a half each, s", "count_seconds", ".2f"), ("merging by ranges, s", "merge_seconds", ".2f"),
        ("the whole in both, s", "whole_seconds", ".2f"), ("a process's table, bytes", "table_bytes", ","),
        ("sent to merge, bytes", "merge_bytes", ","), ("sent for the whole, bytes", "whole_bytes", ","),
    )  # fmt: skip


def counting(results: Path, _: str) -> list[str]:
    """What one core counts, by size."""
    found = newest("scaling", results)
    merge, pack, unpack = (found[f"{what}_keys_per_second"] / 1e6 for what in ("merge", "pack", "unpack"))
    return [
        *columns(
            found["counting"], ("tokens", "tokens", ","), ("seconds to count", "seconds", ".2f"),
            ("distinct n-grams", "keys", ","), ("table, MB", lambda s: s["keys"] * _TABLE_BYTES / 1e6, ".0f"),
        ),
        "",
        f"Millions of n-grams per second: {merge:.0f} merged from two tables, {pack:.0f} packed for the wire, "
        f"{unpack:.0f} unpacked.",
    ]  # fmt: skip


# Of one n-gram: key and count on the wire; in a table.
_WIRE_BYTES, _TABLE_BYTES = 9, 12
# Assumed, not measured: bytes per second that one process can send, GPU to GPU for steps, memory to memory for counts;
# seconds of one collective. Published: seconds of a step on 8 GPUs.
_STEP_LINK, _COUNT_LINK = {8: 200e9, 64: 25e9}, {8: 5e9, 64: 1.5e9}
_STEP_LATENCY, _PUBLISHED_STEP = {8: 30e-6, 64: 100e-6}, 60.3e-3
_TOKENS = 5_200_000_000


def paper(results: Path, _: str) -> list[str]:
    """8 and 64 processes, worked out from what one core measured."""
    found = newest("scaling", results)
    before, last = found["counting"][-2:]
    exponent = math.log(last["keys"] / before["keys"]) / math.log(last["tokens"] / before["tokens"])
    arithmetic, assumed, speed, extrapolated = "arithmetic", "assumed link", "measured speed", "extrapolated"

    def keys(tokens: float) -> float:
        return float(last["keys"] * (tokens / last["tokens"]) ** exponent)

    def column(n: int) -> list[tuple[str, str, str]]:
        sent = 2 * (n - 1) / n * 4 * found["published_parameters"] + 80
        sent += (n - 1) / n * 2 * found["published_matrix_parameters"]
        step, computing = sent / _STEP_LINK[n] + 3 * _STEP_LATENCY[n], _PUBLISHED_STEP * 8 / n
        count, own = _TOKENS / n / (last["tokens"] / last["seconds"]), keys(_TOKENS / n)
        merging = own / found["pack_keys_per_second"] + own / found["unpack_keys_per_second"]
        merging += own * math.ceil(math.log2(n)) / found["merge_keys_per_second"]
        ranges, whole = own * _WIRE_BYTES * (n - 1) / n, keys(_TOKENS) * _WIRE_BYTES * (n - 1) / n
        share = (merging + ranges / _COUNT_LINK[n]) / count
        return [
            ("**a step**, `published` preset", "", ""),
            ("bytes that a process sends", f"{sent / 1e6:.1f} MB", arithmetic),
            ("seconds on the link", f"{1e3 * step:.2f} ms at {_STEP_LINK[n] / 1e9:.0f} GB/s", assumed),
            ("seconds of computing", f"{1e3 * computing:.1f} ms", "published 60.3 ms on 8, divided"),
            ("share of a step", f"{100 * step / (step + computing):.1f} %", arithmetic),
            ("**counting** the whole text", "", ""),
            ("tokens per process", f"{_TOKENS / n / 1e6:.0f} M", arithmetic),
            ("seconds, one core each", f"{count:.0f}", speed),
            ("its own table", f"{own * _TABLE_BYTES / 1e9:.2f} GB", extrapolated),
            ("**a merge** by ranges", "", ""),
            ("bytes that a process sends", f"{ranges / 1e9:.2f} GB", arithmetic),
            ("over its own table", f"{ranges / own / _TABLE_BYTES:.2f}", arithmetic),
            ("seconds on the link", f"{ranges / _COUNT_LINK[n]:.1f} at {_COUNT_LINK[n] / 1e9:g} GB/s", assumed),
            ("seconds of merging, one core", f"{merging:.1f}", speed),
            ("over counting", f"{100 * share:.0f} %", ""),
            ("**the whole in every process**", "", ""),
            ("bytes that a process receives", f"{whole / 1e9:.1f} GB", arithmetic),
            ("seconds on the link", f"{whole / _COUNT_LINK[n]:.0f}", assumed),
            ("memory of a process", f"{keys(_TOKENS) * _TABLE_BYTES / 1e9:.1f} GB", extrapolated),
        ]  # fmt: skip

    rows = [
        (what, few, many, how) for (what, few, how), (_, many, _) in zip(column(8), column(64), strict=True)
    ]
    return [
        *table(["", "8 processes", "64 processes", ""], rows),
        "",
        f"Exponent of the last doubling: {exponent:.3f}.",
    ]


def records(results: Path, text: str) -> list[str]:
    """Records of a text beside zstd; the log's are of a run of its own, on a machine that did nothing else."""
    found = newest({"JSON log": "records-log", "loghub": "records-text"}.get(text, "records"), results)
    one = next(part for part in found["texts"] if part["name"] == text)
    ours, count, raw = one["rows"][0], one["records"], one["raw_bytes"]
    speeds = ("encoded_per_second", "decoded_per_second") if text == "JSON log" else ()
    return [
        f"Measured: `bench/results/{found['file']}`, {found['machine']['cores']} cores; {count:,} unseen records of "
        f"{raw / count:.1f} bytes, after {one['train_lines']:,} lines of {one['train_bytes']:,} bytes. regrow: "
        f"{ours['bits'] / 8 / count:.2f} bytes of bits a record, {ours['file_bytes'] / count:.2f} in a file with its "
        "index.", "",
        *columns(
            one["rows"], ("", "codec", ""), ("model, bytes", "model_bytes", ","),
            ("bytes a record", lambda row: row["bytes"] / count, ".2f"), ("share", lambda r: r["bytes"] / raw, ".1%"),
            *((f"{key.split('_')[0]} a second", key, ",.0f") for key in speeds),
        ),
    ]  # fmt: skip


def quality(results: Path, _: str) -> list[str]:
    """A section for each text that was measured."""
    lines = []
    for found in of_each_text("quality", results):
        trained = [
            f"{name} on {of['tokens']:,} tokens in {of['seconds']:.0f} s"
            for name, of in found["training"].items()
        ]
        lines += [
            f"## {found['text']['name']}", "", *_setting(found),
            f"Preset `{found['preset']}`. Trained: {', '.join(trained)}.", "",
            *columns(
                found["rows"], ("what", "name", ""), ("bits per byte", "bpb", ".4f"),
                ("a decoder needs, bytes", "decoder_bytes", ","),
            ), "",
        ]  # fmt: skip
    return lines or ["Not measured yet."]


TABLES: dict[str, Callable[[Path, str], list[str]]] = {
    made.__name__: made
    for made in (
        setting, kenlm, forms, prefill, adaptive, depth, gains, stream, equal_bytes, published, cache_bytes, merge,
        counting, paper, records, quality,
    )
}  # fmt: skip


def _bpb(runs: Sequence[Row], field: str) -> str:
    """Mean and deviation; runs that diverged are counted, so that they do not vanish from a mean."""
    found = spread(run[field] for run in runs)
    failed = sum(run[field] is None for run in runs)
    text = f"{found.mean:.4f} ({found.deviation:.4f})" if found else ""
    return f"{text} {failed} diverged".strip() if failed else text


def _gap(runs: Sequence[Row], against: Sequence[Row], field: str) -> str:
    gap = None if runs[:1] == against[:1] else paired(runs, against, field)
    return f"{gap[0]:+.4f} +- {gap[1]:.4f}" if gap else ""


def main() -> None:
    """Fill every page of docs/ and draw its picture, if it has one."""
    from benchmarks.pictures import PICTURES

    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (made := filled(page)) != page:
            atomic_write_text(path, made)
            sys.stderr.write(f"{path}\n")
    for name, draw in PICTURES.items():
        atomic_write_bytes(DOCS / f"{name}.svg", draw(RESULTS))


if __name__ == "__main__":
    main()
