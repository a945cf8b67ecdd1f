"""What `regrow bench published` keeps of a run: for every filling of the tables, its three figures by stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from benchmarks.dated import Machine
from regrow.core.errors import DataError

SCHEMA = 1


class Score(msgspec.Struct, frozen=True):
    """The three figures over the sampled positions, and what the stand-in for the network scores alone.

    `published_bits`: bits per byte of the published score, *not a probability*; `z_*`: its sum over the vocabulary;
    `honest_bpb`: bits per byte after dividing by that sum; `base_bpb`: of the stand-in alone.
    """

    published_bits: float
    z_mean: float
    z_min: float
    z_max: float
    honest_bpb: float
    base_bpb: float


class Filling(msgspec.Struct, frozen=True):
    """One filling of the tables. `kind`: "text" (a first share of the training text), "passes" (all of it, several
    times) or "constant" (every bucket holds `constant`). `counts`: sum over all tables before clipping.

    `scores`: stand-in for the network -> figures. `exact_bpb`: the exact modified Kneser-Ney memory of the same
    text. `stored_bytes`: null where it was not packed.
    """

    kind: str
    share: float
    passes: int
    constant: int | None
    tokens: int
    counts: int
    in_use: float  # share of the buckets that hold anything
    full: float  # share of the buckets at 65535
    stored_bytes: int | None
    exact_bpb: float | None
    scores: dict[str, Score]

    @property
    def label(self) -> str:
        """As tables and pictures name it."""
        if self.kind == "constant":
            return f"every bucket {self.constant:,}"
        if self.kind == "passes":
            return f"all of the text, {self.passes} times"
        parts = round(1 / self.share)
        return "all of the text" if parts == 1 else f"1/{parts} of the text"


class PublishedResult(msgspec.Struct, frozen=True):
    """A whole run of the bench. `positions`: how many held-out tokens were sampled, the same for every filling."""

    schema: int
    bench: str
    size: str
    date: str
    version: str
    seconds: float
    machine: Machine
    data: dict[str, Any]
    positions: int
    seed: int
    vocab_size: int
    buckets: list[int]
    exact_order: int
    fillings: list[Filling]

    def of(self, kind: str) -> list[Filling]:
        """Fillings of one kind, in the order they were made."""
        return [f for f in self.fillings if f.kind == kind]

    @classmethod
    def load(cls, path: Path) -> PublishedResult:
        """Read a dated result. Raises DataError for a file that is none."""
        try:
            result = msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(
                f"{path}: is no result of bench published ({error}); run regrow bench published."
            ) from error
        if result.schema != SCHEMA or result.bench != "published":
            raise DataError(
                f"{path}: is schema {result.schema} of bench {result.bench}; run regrow bench published."
            )
        return result
