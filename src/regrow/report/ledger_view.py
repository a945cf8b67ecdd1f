"""The ledger as a picture: who owns each byte of an artifact, and what the budget leaves."""

from __future__ import annotations

from dataclasses import dataclass

from regrow.core.results import owners
from regrow.report import figures
from regrow.report.record import RunRecord

WORDS = {
    "memory": "the n-gram memory, in its stored form",
    "adapters": "low-rank adapters on the frozen bases, int8 by row, entropy-coded",
    "matrices": "trained matrices without a base, int8 by row, entropy-coded",
    "embeddings": "one row a token, shared by input and output, int8",
    "vectors": "gains, float16",
    "mixer": "the gate between network and memory, float32",
    "tokenizer": "the pieces that text is cut into",
    "manifest": "config, seed, hashes and the container's header",
    "base": "the frozen bases: regrown from the seed, so they cost nothing",
}


@dataclass(frozen=True)
class Segment:
    """One owner's part of the bar, in percent of its whole width."""

    owner: str
    size: str
    bytes: int
    percent: float


@dataclass(frozen=True)
class Bar:
    """One run's artifact on the scale of all runs; `free`: what the budget leaves, in percent of it."""

    name: str
    segments: list[Segment]
    free: float
    free_bytes: int
    free_size: str
    total: int
    budget: int | None


@dataclass(frozen=True)
class Row:
    """One owner over all runs: its bytes ('not run' without a ledger) and their share of the artifact."""

    owner: str
    words: str
    bytes: list[str]
    shares: list[str]


def ledger_bars(runs: list[RunRecord]) -> list[Bar | None]:
    """A bar a run, in the runs' order; None for a run without a ledger."""
    scale = max((max(_total(r), _budget(r) or 0) for r in runs if r.result.bytes), default=0)
    return [_bar(run, scale) if run.result.bytes and scale else None for run in runs]


def ledger_rows(runs: list[RunRecord]) -> list[Row]:
    """The owners of all runs, the largest of the first run first, those that own nothing last."""
    first: dict[str, int] = {}
    for run in runs:
        for owner, n in owners(run.result.bytes or {}).items():
            first.setdefault(owner, n)
    return [
        Row(
            owner,
            WORDS.get(owner, ""),
            [figures.count(_of(run, owner)) for run in runs],
            [figures.percent(_of(run, owner), _total(run), 2) for run in runs],
        )
        for owner in sorted(first, key=lambda o: -first[o])
    ]


def _bar(run: RunRecord, scale: int) -> Bar:
    parts = owners(run.result.bytes or {})
    segments = []
    for owner, n in sorted(parts.items(), key=lambda part: -part[1]):
        if n > 0:
            share = 100 * n / scale
            segments.append(Segment(owner, figures.size(n), n, share))
    total, budget = _total(run), _budget(run)
    left = max(0, budget - total) if budget is not None else 0
    return Bar(run.name, segments, 100 * left / scale, left, figures.size(left), total, budget)


def _of(run: RunRecord, owner: str) -> int | None:
    return None if run.result.bytes is None else run.result.bytes.get(owner, 0)


def _total(run: RunRecord) -> int:
    parts = run.result.bytes or {}
    return parts.get("total", sum(owners(parts).values()))


def _budget(run: RunRecord) -> int | None:
    return (run.result.bytes or {}).get("budget")
