"""What a probe is and what it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from regrow.challenge.audit.probe.scorer import Scorer

Outcome = Literal["passed", "failed", "not applicable", "crashed"]


class ProbeResult(msgspec.Struct, frozen=True):
    """What one probe found.

    Attributes:
        probe: its identifier.
        outcome: `failed` condemns the scorer; `crashed` leaves the question open.
        message: one sentence with the reason.
        numbers: what was measured, each under its name and unit.
    """

    probe: str
    outcome: Outcome
    message: str
    numbers: dict[str, float | int | str | None] = {}


@dataclass(frozen=True)
class Probe:
    """One question put to a running scorer.

    Attributes:
        id: stable identifier. title: one line for tables.
        why: what a failure means. clears: what would clear it.
        breaks: numbers of the four conditions (docs/audit/rules/README.md) that a failure breaks.
        run: asks, and reports.
    """

    id: str
    title: str
    why: str
    clears: str
    breaks: tuple[int, ...]
    run: Callable[[Scorer], ProbeResult] = field(repr=False)

    def result(self, outcome: Outcome, message: str, **numbers: float | int | str | None) -> ProbeResult:
        """A result of this probe."""
        return ProbeResult(self.id, outcome, message, numbers)
