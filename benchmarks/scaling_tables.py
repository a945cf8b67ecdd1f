"""The tables of docs/scaling.md: what two processes and one core measured, and what that comes to on 8 and 64 GPUs."""

from __future__ import annotations

import math
from pathlib import Path

from benchmarks.dated import newest
from benchmarks.tables import columns, table

# Of one n-gram: key and count on the wire; in a table.
_WIRE_BYTES, _TABLE_BYTES = 9, 12
# Assumed, not measured: bytes per second that one process can send, GPU to GPU for steps, memory to memory for counts;
# seconds of one collective. Published: seconds of a step on 8 GPUs.
_STEP_LINK, _COUNT_LINK = {8: 200e9, 64: 25e9}, {8: 5e9, 64: 1.5e9}
_STEP_LATENCY, _PUBLISHED_STEP = {8: 30e-6, 64: 100e-6}, 60.3e-3
_TOKENS = 5_200_000_000


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
