"""What `regrow bench bases` keeps of a run: every network's figures, and what they were measured with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.dated import Machine
from regrow.core.errors import DataError

SCHEMA = 1
# Two-sided 95 % points of Student's t for 1 to 9 degrees of freedom: so few seeds need it.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Figures(msgspec.Struct, frozen=True):
    """One network. `bpb` figures are held-out bits per byte of the network alone, null if training diverged.

    `rms_start`, `rms_end`: residual stream by layer, before and after training. `estimated_bytes`,
    `packed_bytes` and `bpb_int8` (after the round trip through what is packed) are of part "bytes" alone.
    """

    part: str  # "depth" or "bytes"
    arm: str
    seed: int
    base: str
    gain: str
    seeded: str
    n_layer: int
    d_model: int
    r: int
    trained: int  # parameters that were trained
    frozen: int  # entries of the bases
    steps: int
    tokens: int
    seconds: float
    train_nats: float | None
    bpb: float | None
    rms_start: list[float | None]
    rms_end: list[float | None]
    adapter_share: float | None
    estimated_bytes: int | None = None
    packed_bytes: int | None = None
    bpb_int8: float | None = None


class BasesResult(msgspec.Struct, frozen=True):
    """A whole run of the bench. `gains`: arm -> matrix -> entry_rms, least and greatest singular value."""

    schema: int
    bench: str
    size: str
    date: str
    version: str
    seconds: float
    machine: Machine
    data: dict[str, Any]
    scored: dict[str, int]  # bytes and tokens of the held-out text that was scored
    model: dict[str, Any]  # what all networks share
    train: dict[str, dict[str, Any]]  # part -> settings
    gains: dict[str, dict[str, dict[str, float]]]
    runs: list[Figures]

    @classmethod
    def load(cls, path: Path) -> BasesResult:
        """Read a dated result. Raises DataError for a file that is none."""
        try:
            result = msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(
                f"{path}: is no result of bench bases ({error}); run regrow bench bases."
            ) from error
        if result.schema != SCHEMA or result.bench != "bases":
            raise DataError(
                f"{path}: is schema {result.schema} of bench {result.bench}; run regrow bench bases."
            )
        return result

    def arms(self, part: str) -> list[str]:
        """The arms of a part, in the order in which they were run."""
        return list(dict.fromkeys(run.arm for run in self.runs if run.part == part))

    def depths(self) -> list[int]:
        """The depths that were compared."""
        return sorted({run.n_layer for run in self.runs if run.part == "depth"})

    def of(self, part: str, arm: str, n_layer: int | None = None) -> list[Figures]:
        """The runs of an arm (at a depth), by seed."""
        found = [r for r in self.runs if r.part == part and r.arm == arm and n_layer in (None, r.n_layer)]
        return sorted(found, key=lambda run: run.seed)


class Spread(msgspec.Struct, frozen=True):
    """Mean, standard deviation over seeds (n - 1; 0 for one seed), and how many runs did not diverge."""

    mean: float
    deviation: float
    count: int


def spread(values: list[float | None]) -> Spread | None:
    """The spread of what is there; None where nothing is."""
    present = [v for v in values if v is not None]
    if not present:
        return None
    mean = math.fsum(present) / len(present)
    square = math.fsum((v - mean) ** 2 for v in present)
    return Spread(mean, math.sqrt(square / (len(present) - 1)) if len(present) > 1 else 0.0, len(present))


def paired(runs: list[Figures], against: list[Figures], field: str = "bpb") -> tuple[float, float] | None:
    """Mean of `runs` minus `against` over the seeds both have, and half its 95 % interval (Student).

    None with fewer than two such seeds: one difference has no interval.
    """
    other = {run.seed: getattr(run, field) for run in against}
    differences = [
        getattr(run, field) - other[run.seed]
        for run in runs
        if getattr(run, field) is not None and other.get(run.seed) is not None
    ]
    found = spread(differences)
    if found is None or found.count < 2:
        return None
    student = _STUDENT[min(found.count - 2, len(_STUDENT) - 1)]
    return found.mean, student * found.deviation / math.sqrt(found.count)


def mean_by_layer(runs: list[Figures], field: str) -> list[float | None]:
    """The mean over seeds of `rms_start` or `rms_end`, by layer."""
    columns = zip(*(getattr(run, field) for run in runs), strict=True)
    means = [spread(list(column)) for column in columns]
    return [None if m is None else m.mean for m in means]
