"""Size by component, as a picture: what each byte of an artifact is for, and what the budget leaves."""

from __future__ import annotations

from dataclasses import dataclass

from regrow.core.results import components
from regrow.report.formats import count, percent, size
from regrow.report.run_files import RunFiles

WORDS = {
    "memory": "the n-gram memory, in its stored form",
    "adapters": "low-rank adapters on the frozen bases, int8 by row, entropy-coded",
    "matrices": "trained matrices without a base, int8 by row, entropy-coded",
    "embeddings": "one row per token, int8; shared by input and output where they are tied",
    "vectors": "gains, float16",
    "mixer": "the gate between network and memory, float32",
    "tokenizer": "the pieces that text is cut into",
    "manifest": "config, seed, hashes and the container's header",
    "base": "the frozen bases: regenerated from the seed, so they cost nothing",
}


@dataclass(frozen=True)
class Segment:
    """One component's part of the bar, in percent of its whole width."""

    component: str
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
class ComponentRow:
    """One component over all runs: its bytes ('not run' without any) and their share of the artifact."""

    component: str
    words: str
    bytes: list[str]
    shares: list[str]


def size_bars(runs: list[RunFiles]) -> list[Bar | None]:
    """A bar a run, in the runs' order; None for a run without an artifact."""
    sizes = [run.result.bytes for run in runs]
    scale = max((max(_total(parts), parts.get("budget", 0)) for parts in sizes if parts), default=0)
    return [
        _bar(run.name, parts, scale) if parts and scale else None
        for run, parts in zip(runs, sizes, strict=True)
    ]


def size_rows(runs: list[RunFiles]) -> list[ComponentRow]:
    """The components of all runs, the largest of the first run first, those of no bytes last."""
    sizes = [run.result.bytes for run in runs]
    first: dict[str, int] = {}
    for parts in reversed(sizes):
        first |= components(parts or {})
    return [
        ComponentRow(
            name,
            WORDS.get(name, ""),
            [count(None if parts is None else parts.get(name, 0)) for parts in sizes],
            ["" if parts is None else percent(parts.get(name, 0), _total(parts), 2) for parts in sizes],
        )
        for name in sorted(first, key=lambda name: -first[name])
    ]


def _bar(name: str, parts: dict[str, int], scale: int) -> Bar:
    ordered = sorted(components(parts).items(), key=lambda part: -part[1])
    segments = [Segment(part, size(n), n, 100 * n / scale) for part, n in ordered if n > 0]
    total, budget = _total(parts), parts.get("budget")
    left = max(0, (budget or 0) - total)
    return Bar(name, segments, 100 * left / scale, left, size(left), total, budget)


def _total(parts: dict[str, int]) -> int:
    return parts.get("total", sum(components(parts).values()))
