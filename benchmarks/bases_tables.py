"""The tables of docs/bases.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bases import arms, depths, runs_of
from benchmarks.dated import newest
from benchmarks.seeds import Row, mean, paired, spread
from benchmarks.tables import columns, table


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


def _bpb(runs: Sequence[Row], field: str) -> str:
    """Mean and deviation; runs that diverged are counted, so that they do not vanish from a mean."""
    found = spread(run[field] for run in runs)
    failed = sum(run[field] is None for run in runs)
    text = f"{found.mean:.4f} ({found.deviation:.4f})" if found else ""
    return f"{text} {failed} diverged".strip() if failed else text


def _gap(runs: Sequence[Row], against: Sequence[Row], field: str) -> str:
    gap = None if runs[:1] == against[:1] else paired(runs, against, field)
    return f"{gap[0]:+.4f} +- {gap[1]:.4f}" if gap else ""
