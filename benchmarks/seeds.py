"""Figures over seeds: mean and deviation, and differences that are taken seed by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]  # one run: "seed", and figures that are None where it diverged

# Two-sided 95 % points of Student's t for 1 to 9 degrees of freedom: so few seeds need it.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Spread(NamedTuple):
    """Mean and standard deviation over seeds (n - 1; 0 for one seed)."""

    mean: float
    deviation: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """The spread of what is there; None where nothing is."""
    present = [v for v in values if v is not None]
    if not present:
        return None
    return Spread(math.fsum(present) / len(present), statistics.stdev(present) if len(present) > 1 else 0.0)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is there; None where nothing is."""
    found = spread(values)
    return found and found.mean


def paired(runs: Sequence[Row], against: Sequence[Row], field: str = "bpb") -> tuple[float, float] | None:
    """Mean of `runs` minus `against` over the seeds both have, and half its 95 % interval (Student).

    None with fewer than two such seeds: one difference has no interval.
    """
    other = {run["seed"]: run[field] for run in against}
    differences = [
        run[field] - other[run["seed"]]
        for run in runs
        if run[field] is not None and other.get(run["seed"]) is not None
    ]
    found = spread(differences)
    if found is None or len(differences) < 2:
        return None
    student = _STUDENT[min(len(differences) - 2, len(_STUDENT) - 1)]
    return found.mean, student * found.deviation / math.sqrt(len(differences))
