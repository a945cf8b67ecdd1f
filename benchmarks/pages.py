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

from benchmarks.bases import arms, depths, runs_of
from benchmarks.dated import Found, dated, load
from benchmarks.forms import WHOLE
from benchmarks.published import label
from benchmarks.seeds import Row, paired, spread
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


def newest(name: str, results: Path) -> Found:
    """The newest result of a bench."""
    return load(dated(name, results)[-1])


def of_text(text: str, results: Path) -> Found:
    """The newest result of bench adaptive on a text."""
    found = [result for path in dated("adaptive", results) if (result := load(path))["text"] == text]
    if not found:
        raise DataError(f"{results}: holds no result of bench adaptive on {text}; run regrow bench adaptive.")
    return found[-1]


def setting(results: Path, name: str) -> list[str]:
    """In a sentence, which result of bench NAME is shown, from when, on what machine and text."""
    found = newest(name, results)
    machine, text = found["machine"], found.get("text") or found["data"]
    told = [f"`bench/results/{found['file']}`"]
    told += [f"regrow {found['version']}"] if "version" in found else []
    told += [f"torch {machine['torch']}", str(machine["device"])] if "torch" in machine else []
    told += [
        f"{machine[key]} {key.removesuffix('s') if machine[key] == 1 else key}"
        for key in ("cores", "threads")
        if key in machine
    ]
    vocabulary = text.get("vocab_size") or found.get("vocab_size")
    read = [f"text `{text['name']}`", f"{text['train_tokens']:,} training tokens"]
    read += [f"{text['val_bytes']:,} held-out bytes"] if "val_bytes" in text else []
    read += [f"vocabulary {vocabulary:,}"] if vocabulary else []
    warning = "**A quick run, to see that the bench works: its figures mean nothing.** "
    return [
        (warning if found.get("size") == "quick" else "") + f"Measured: {', '.join(told)}; {', '.join(read)}."
    ]


def kenlm(results: Path, _: str) -> list[str]:
    """The memory beside KenLM, as far as that was installed, and other figures of the same run."""
    found = newest("ngram", results)
    ours, theirs, index, growth = found["ours"], found["kenlm"] or {}, found["tokengrams"], found["growth"]
    long = ours["long"]

    def row(what: str, mine: float, form: str, peer: float | None = None, ratio: bool = False) -> list[str]:
        told = "" if peer is None else f"{peer:{form}}"
        return [what, f"{mine:{form}}", told, f"{peer / mine:.1f}" if peer is not None and ratio else ""]

    rows = [
        row("building, seconds", ours["seconds"], ".1f", theirs.get("estimate_seconds"), True),
        row("peak memory, bytes", ours["peak_bytes"], ",", theirs.get("estimate_peak_bytes"), True),
        row("stored, bytes", ours["text_bytes"], ",", theirs.get("trie_bytes"), True),
        row("bits per byte", ours["bpb"], ".4f", theirs.get("bpb")),
        row("with discounts estimated as KenLM does it", ours["bpb_estimated"], ".4f"),
        row(f"order {long['order']}", long["bpb"], ".4f"),
        row(f"order {long['order']}, adaptive", long["bpb_adapting"], ".4f"),
        row("full distributions, rows per second", ours["rows_per_second"], ",.0f"),
        row("an added token, microseconds, at first", growth["first_hundredth_us"], ".2f"),
        row(f"at {growth['tokens'] / 1e6:.0f} M tokens", growth["last_tenth_us"], ".2f"),
        ["tokengrams: building, seconds", "", f"{index['seconds']:.1f}" if index else "", ""],
    ]
    return table(["what", "regrow", "peer", "ratio"], rows)


def forms(results: Path, _: str) -> list[str]:
    """The two stored forms by allowance."""
    by_form = {(row["form"], row["allowance"]): row for row in newest("forms", results)["rows"]}
    rows = []
    for allowance in sorted({allowance for _, allowance in by_form}):
        stored, text = by_form["table", allowance], by_form.get(("text", allowance))
        cells = ["whole" if allowance == WHOLE else f"{allowance / 1e6:g} MB", f"{stored['bytes']:,}"]
        cells += [f"{stored['entries']:,}", f"{stored['load_seconds']:.1f}", f"{stored['bpb']:.4f}"]
        cells += (
            [f"{text['bytes']:,}", f"{text['load_seconds']:.1f}", f"{text['bpb']:.4f}"] if text else [""] * 3
        )
        rows.append(cells)
    text_columns = ["text: bytes", "load, s", "bits per byte"]
    return table(["allowed", "table: bytes", "n-grams", "load, s", "bits per byte", *text_columns], rows)


def prefill(results: Path, _: str) -> list[str]:
    """Counting ahead of training or while it goes on."""
    header = [
        "counted",
        "mixture",
        "memory",
        "network",
        "tokens trained on",
        "memory, bytes",
        "counting ahead, s",
    ]
    rows = [
        [arm["arm"], *(f"{arm[key]:.4f}" for key in ("bpb", "memory_bpb", "neural_bpb")),
         f"{arm['tokens_seen']:,}", f"{arm['memory_bytes']:,}", f"{arm['count_seconds_ahead']:.2f}"]
        for arm in newest("prefill", results)["arms"]
    ]  # fmt: skip
    return table(header, rows)


def adaptive(results: Path, text: str) -> list[str]:
    """A text under every arm."""
    found = of_text(text, results)
    proofs, fixed = found["proofs"], found["arms"][0]
    header = ["arm", "bits per byte", "saved", "proven", "scoring, s", "encoding, s", "decoding, s"]
    rows = []
    for arm in found["arms"]:
        proof = proofs.get(arm["name"])
        cells = [arm["name"], f"{arm['bpb']:.4f}", f"{fixed['bpb'] - arm['bpb']:+.4f}"]
        cells += [f"{proof['bpb']:.4f}" if proof and proof["sha256_match"] else "", f"{arm['seconds']:.1f}"]
        cells += [f"{proof[key]:.0f}" if proof else "" for key in ("encode_seconds", "decode_seconds")]
        rows.append(cells)
    machine = found["machine"]
    return [
        f"Measured: `bench/results/{found['file']}`, regrow {found['version']}, torch {machine['torch']}, "
        f"{machine['device']}, {machine['threads']} threads; {found['raw_bytes']:,} bytes, {found['tokens']:,} tokens, "
        f"an artifact of {found['artifact_bytes']:,} bytes. Fixed: {found['streams']} streams; windows move by "
        f"{found['stride']} tokens; adaptive: {found['settings']}. Recent text and mixer without network and stored "
        f"memory: {found['memory_tokens_per_second']:,.0f} tokens per second.",
        "",
        *table(header, rows),
    ]


def depth(results: Path, _: str) -> list[str]:
    """Bases by depth: bits per byte, difference to the first, the stream's end, and how far adapters moved."""
    found = newest("bases", results)
    names, layers = arms(found, "depth"), depths(found)
    header = ["base", "gain"]
    for n in layers:
        header += [f"{n} layers", f"minus {names[0]}", "stream after the last layer", "adapter / base"]
    rows = []
    for arm in names:
        cells = [arm, f"`{runs_of(found, 'depth', arm)[0]['gain']}`"]
        for n in layers:
            runs = runs_of(found, "depth", arm, n)
            last, share = spread(r["rms_end"][-1] for r in runs), spread(r["adapter_share"] for r in runs)
            cells += [
                _bpb(runs, "bpb"), _gap(runs, runs_of(found, "depth", names[0], n), "bpb") if arm != names[0] else "",
                f"{last.mean:.2f}" if last else "", f"{share.mean:.2f}" if share else "",
            ]  # fmt: skip
        rows.append(cells)
    return table(header, rows)


def gains(results: Path, _: str) -> list[str]:
    """Entries and singular values of the first block's bases."""
    rows = [
        [arm, f"`{matrix}`", f"{facts['entry_rms']:.4f}", f"{facts['least']:.3f}", f"{facts['greatest']:.3f}"]
        for arm, matrices in newest("bases", results)["gains"].items()
        for matrix, facts in matrices.items()
        if matrix.split()[0] in ("q", "up", "down")
    ]
    return table(["base", "matrix", "entries", "min singular value", "max"], rows)


def stream(results: Path, _: str) -> list[str]:
    """The residual stream by layer, before and after training."""
    found = newest("bases", results)
    deep = depths(found)[-1]
    rows = []
    for arm in arms(found, "depth"):
        for field, when in (("rms_start", "before"), ("rms_end", "after")):
            by_layer = zip(*(run[field] for run in runs_of(found, "depth", arm, deep)), strict=True)
            means = [spread(column) for column in by_layer]
            rows.append([arm, when, *(f"{m.mean:.2f}" if m else "" for m in means)])
    return table(["base", "training", *map(str, range(deep + 1))], rows)


def equal_bytes(results: Path, _: str) -> list[str]:
    """Which matrices to seed at equal bytes and time."""
    found = newest("bases", results)
    names, rows = arms(found, "bytes"), []
    for arm in names:
        runs = runs_of(found, "bytes", arm)
        packed, seen = spread(r["packed_bytes"] for r in runs), spread(r["tokens"] for r in runs)
        first = runs[0]
        rows.append([
            arm, str(first["d_model"]), str(first["r"]) if arm != "none" else "", f"{first['frozen']:,}",
            f"{first['estimated_bytes']:,}", f"{packed.mean:,.0f}" if packed else "",
            f"{seen.mean:,.0f}" if seen else "", _bpb(runs, "bpb"), _bpb(runs, "bpb_int8"),
            _gap(runs, runs_of(found, "bytes", names[0]), "bpb_int8") if arm != names[0] else "",
        ])  # fmt: skip
    header = (
        "seeded,width,r,frozen,bytes estimated,bytes packed,tokens seen,bits per byte,after int8,minus none"
    )
    return table(header.split(","), rows)


def published(results: Path, stand_in: str) -> list[str]:
    """Every filling of the published cache with a stand-in for the network."""
    rows = []
    for filling in newest("published", results)["fillings"]:
        score = filling["scores"][stand_in]
        cells = [label(filling), f"{filling['counts']:,}", f"{score['published_bits']:.4f}"]
        cells += [f"{score[key]:.2f}" for key in ("z_mean", "z_min", "z_max")]
        cells += [f"{score[key]:.4f}" for key in ("honest_bpb", "base_bpb")]
        rows.append([*cells, "" if filling["exact_bpb"] is None else f"{filling['exact_bpb']:.4f}"])
    header = "tables filled with,counts,published score (not a probability),Z mean,Z min,Z max,honest bits per byte"
    return table([*header.split(","), "stand-in alone", "exact memory"], rows)


def cache_bytes(results: Path, _: str) -> list[str]:
    """What the published cache's tables take when stored."""
    rows = [
        [label(f), f"{f['stored_bytes']:,}", f"{100 * f['in_use']:.1f} %", f"{100 * f['full']:.1f} %"]
        for f in newest("published", results)["fillings"]
        if f["stored_bytes"] is not None
    ]
    return table(["tables filled with", "bytes", "buckets in use", "buckets at 65,535"], rows)


def merge(results: Path, _: str) -> list[str]:
    """Two processes that count and merge, by round."""
    rounds = newest("merge", results)["rounds"]

    def row(what: str, value: Callable[[Found], float], form: str) -> list[str]:
        return [what, *(f"{max(value(p) for p in processes):{form}}" for processes in rounds)]

    rows = [
        row("counting a half each, the slower, s", lambda p: p["count_seconds"], ".2f"),
        row("merging by ranges, s", lambda p: p["merge_seconds"], ".2f"),
        row("the whole in both, s", lambda p: p["whole_seconds"], ".2f"),
        row("a process's table, MB", lambda p: p["table_bytes"] / 1e6, ".1f"),
        row("sent to merge, of that table", lambda p: p["merge_bytes"] / p["table_bytes"], ".2f"),
        row("sent with the whole", lambda p: (p["merge_bytes"] + p["whole_bytes"]) / p["table_bytes"], ".2f"),
    ]
    return table(["", *(f"run {i}" for i in range(1, len(rounds) + 1))], rows)


def counting(results: Path, _: str) -> list[str]:
    """What one core counts, by size."""
    found = newest("scaling", results)
    rates = ", ".join(
        f"{what} {found[f'{key}_keys_per_second'] / 1e6:.0f} M n-grams per second"
        for what, key in (
            ("merging two tables", "merge"),
            ("packing for the wire", "pack"),
            ("unpacking", "unpack"),
        )
    )
    rows = [
        [f"{s['tokens']:,}", f"{s['seconds']:.2f}", f"{s['keys']:,}", f"{s['keys'] * _TABLE_BYTES / 1e6:.0f}"]
        for s in found["counting"]
    ]
    header = ["tokens", "seconds to count", "distinct n-grams", "table, MB"]
    return [*table(header, rows), "", f"On one core: {rates}."]


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


TABLES: dict[str, Callable[[Path, str], list[str]]] = {
    made.__name__: made
    for made in (
        setting, kenlm, forms, prefill, adaptive, depth, gains, stream, equal_bytes, published, cache_bytes, merge,
        counting, paper,
    )
}  # fmt: skip


def _bpb(runs: Sequence[Row], field: str) -> str:
    """Mean and deviation; runs that diverged are counted, so that they do not vanish from a mean."""
    found = spread(run[field] for run in runs)
    failed = sum(run[field] is None for run in runs)
    text = f"{found.mean:.4f} ({found.deviation:.4f})" if found else ""
    return f"{text} {failed} diverged".strip() if failed else text


def _gap(runs: Sequence[Row], against: Sequence[Row], field: str) -> str:
    gap = paired(runs, against, field)
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
