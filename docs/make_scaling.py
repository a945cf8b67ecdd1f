"""Measure what one process costs, and work out on paper what 8 and 64 would; the tables of docs/scaling.md.

python docs/make_scaling.py measure DATA     # a minute, one core; writes bench/results/DATE-scaling.json
python docs/make_scaling.py                  # puts the tables of the newest result into docs/scaling.md
"""

from __future__ import annotations

import datetime
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "bench" / "results"
PAGE = DOCS / "scaling.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"

ORDER = 6
TOKENS = 5_200_000_000
WORLDS = (8, 64)
KEY_BYTES, WIRE_BYTES, TABLE_BYTES = 8, 9, 12  # of one n-gram: its key; key and count on the wire; in a table
# Assumed, not measured: bytes a second that one process can send, GPU to GPU for steps, memory to memory for counts.
STEP_LINK = {8: 200e9, 64: 25e9}
COUNT_LINK = {8: 5e9, 64: 1.5e9}
STEP_LATENCY = {8: 30e-6, 64: 100e-6}  # of one collective
PUBLISHED_STEP = 60.3e-3  # seconds on 8 GPUs, from the published run's own log


def measure(data: Path) -> dict[str, Any]:
    """Counting at growing sizes, and the pieces of a merge, on one core of this machine."""
    import numpy as np

    from regrow.core.config.load import load_preset
    from regrow.data.dataset import Dataset
    from regrow.network.compute import keep_freed_pages
    from regrow.network.transformer import Transformer
    from regrow.ngram.counts.merge_processes import Chunk
    from regrow.ngram.counts.ngram_counts import NgramCounts
    from regrow.ngram.counts.runs import merge_runs

    keep_freed_pages()
    dataset = Dataset.load(data)
    tokens = np.asarray(dataset.train_tokens)

    def counted(piece: Any) -> NgramCounts:
        counts = NgramCounts(dataset.vocab_size, ORDER, bos_id=dataset.tokenizer.bos_id, threads=1)
        counts.add(piece)
        counts.windows(ORDER)
        return counts

    counted(tokens[:100_000])  # compiles
    sizes = []
    for share in (16, 8, 4, 2, 1):
        piece = tokens[: len(tokens) // share]
        seconds, counts = _best(lambda piece=piece: counted(piece))
        sizes.append({"tokens": len(piece), "seconds": seconds, "keys": len(counts.windows(ORDER))})
    a, b = (counted(half).windows(ORDER) for half in np.array_split(tokens, 2))
    merge_seconds, _ = _best(lambda: merge_runs(a, b))
    pack_seconds, parcel = _best(lambda: Chunk.of(a))
    unpack_seconds, _ = _best(parcel.run)

    config = load_preset("published")
    network = Transformer(config.model, config.data.vocab_size, config.train.seq_len, 1)
    named = list(network.named_parameters())
    matrices = [p for name, p in named if p.dim() == 2 and 1 not in p.shape and "embedding" not in name]
    return {
        "schema": 1, "bench": "scaling", "date": datetime.date.today().isoformat(), "order": ORDER,
        "machine": {"platform": platform.machine(), "python": platform.python_version(), "threads": 1},
        "data": {"name": dataset.name, "vocab_size": dataset.vocab_size, "train_tokens": len(tokens)},
        "counting": sizes, "merge_keys_per_second": (len(a) + len(b)) / merge_seconds,
        "pack_keys_per_second": len(a) / pack_seconds, "unpack_keys_per_second": len(a) / unpack_seconds,
        "published_parameters": sum(p.numel() for _, p in named),
        "published_matrix_parameters": sum(p.numel() for p in matrices),
    }  # fmt: skip


def tables(result: dict[str, Any]) -> str:
    """The measured and the calculated tables, in Markdown."""
    sizes = result["counting"]
    lines = [
        f"Measured {result['date']}, one core, books at vocabulary {result['data']['vocab_size']}, order "
        f"{result['order']}:",
        "",
        "| tokens | seconds to count | distinct n-grams | table, MB |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {s['tokens']:,} | {s['seconds']:.2f} | {s['keys']:,} | {s['keys'] * TABLE_BYTES / 1e6:.0f} |"
        for s in sizes
    ]
    lines += [
        "",
        f"Merging two tables: {result['merge_keys_per_second'] / 1e6:.0f} M n-grams a second; making the wire's form: "
        f"{result['pack_keys_per_second'] / 1e6:.0f} M; reading it: {result['unpack_keys_per_second'] / 1e6:.0f} M.",
        "",
        f"Calculated from these for {TOKENS / 1e9:.1f} B tokens. The number of distinct n-grams is extrapolated with "
        f"the exponent of the last doubling, {_exponent(sizes):.3f}, far beyond what was measured, so it is an upper "
        "bound: the exponent falls as a text grows.",
        "",
        "| | " + " | ".join(f"{n} processes" for n in WORLDS) + " | |",
        "| --- | " + " | ".join("---" for _ in WORLDS) + " | --- |",
    ]
    for title, of, kind in _rows(result):
        lines.append(f"| {title} | " + " | ".join(of(n) for n in WORLDS) + f" | {kind} |")
    return "\n".join(lines)


def _rows(result: dict[str, Any]) -> list[tuple[str, Callable[[int], str], str]]:
    sizes = result["counting"]
    rate = sizes[-1]["tokens"] / sizes[-1]["seconds"]
    parameters, matrices = result["published_parameters"], result["published_matrix_parameters"]

    def keys(tokens: float) -> float:
        return float(sizes[-1]["keys"] * (tokens / sizes[-1]["tokens"]) ** _exponent(sizes))

    def step_bytes(n: int) -> float:
        return 2 * (n - 1) / n * 4 * parameters + (n - 1) / n * 2 * matrices + 2 * 40

    def step_seconds(n: int) -> float:
        return step_bytes(n) / STEP_LINK[n] + 3 * STEP_LATENCY[n]

    def computing(n: int) -> float:
        return PUBLISHED_STEP * 8 / n

    def range_sent(n: int) -> float:
        return keys(TOKENS / n) * WIRE_BYTES * (n - 1) / n

    def range_work(n: int) -> float:
        own = keys(TOKENS / n)
        return own * (
            1 / result["pack_keys_per_second"]
            + 1 / result["unpack_keys_per_second"]
            + math.ceil(math.log2(n)) / result["merge_keys_per_second"]
        )

    def whole_got(n: int) -> float:
        return keys(TOKENS) * WIRE_BYTES * (n - 1) / n

    a, m, c = "assumed link", "measured speed", "arithmetic"
    return [
        ("**a step**, `published` preset", lambda n: "", ""),
        ("bytes a process sends", lambda n: f"{step_bytes(n) / 1e6:.1f} MB", c),
        (
            "seconds on the link",
            lambda n: f"{1e3 * step_seconds(n):.2f} ms at {STEP_LINK[n] / 1e9:.0f} GB/s",
            a,
        ),
        ("seconds of computing", lambda n: f"{1e3 * computing(n):.1f} ms", "published 60.3 ms on 8, divided"),
        ("share of a step", lambda n: f"{100 * step_seconds(n) / (step_seconds(n) + computing(n)):.1f} %", c),
        ("**counting** the whole text", lambda n: "", ""),
        ("tokens a process", lambda n: f"{TOKENS / n / 1e6:.0f} M", c),
        ("seconds, one core each", lambda n: f"{TOKENS / n / rate:.0f}", m),
        ("its own table", lambda n: f"{keys(TOKENS / n) * TABLE_BYTES / 1e9:.2f} GB", "extrapolated"),
        ("**a merge** by ranges", lambda n: "", ""),
        ("bytes a process sends", lambda n: f"{range_sent(n) / 1e9:.2f} GB", c),
        ("over its own table", lambda n: f"{range_sent(n) / keys(TOKENS / n) / TABLE_BYTES:.2f}", c),
        (
            "seconds on the link",
            lambda n: f"{range_sent(n) / COUNT_LINK[n]:.1f} at {COUNT_LINK[n] / 1e9:g} GB/s",
            a,
        ),
        ("seconds of merging, one core", lambda n: f"{range_work(n):.1f}", m),
        (
            "over counting",
            lambda n: f"{100 * (range_work(n) + range_sent(n) / COUNT_LINK[n]) / (TOKENS / n / rate):.0f} %",
            "",
        ),
        ("**the whole in every process**", lambda n: "", ""),
        ("bytes a process receives", lambda n: f"{whole_got(n) / 1e9:.1f} GB", c),
        ("seconds on the link", lambda n: f"{whole_got(n) / COUNT_LINK[n]:.0f}", a),
        ("memory a process", lambda n: f"{keys(TOKENS) * TABLE_BYTES / 1e9:.1f} GB", "extrapolated"),
    ]


def make(path: Path, page: str) -> str:
    """`page` with the tables of the result at `path` between its marks."""
    result = json.loads(path.read_text(encoding="utf-8"))
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{tables(result)}\n\n{END}{rest.split(END)[1]}"


def newest() -> Path:
    """The newest result, which the page shows."""
    return max(RESULTS.glob("*-scaling.json"))


def _exponent(sizes: list[dict[str, Any]]) -> float:
    before, last = sizes[-2:]
    return math.log(last["keys"] / before["keys"]) / math.log(last["tokens"] / before["tokens"])


def _best(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the fastest of three, so that first touches of memory do not count."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - started)
    return min(taken), result


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measured = measure(Path(sys.argv[2]))
        target = RESULTS / f"{measured['date']}-scaling.json"
        target.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    else:
        PAGE.write_text(make(newest(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
