"""What a probe is and what it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

from regrow.challenge.audit.finding import Described

if TYPE_CHECKING:
    from regrow.challenge.audit.probe.scorer import Scorer

Outcome = Literal["passed", "failed", "not applicable", "crashed"]
Number = float | int | str | None
#: What a probe's function returns: the outcome, one sentence with the reason, what was measured.
Answer = tuple[Outcome, str, dict[str, Number]]


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
    numbers: dict[str, Number] = {}


@dataclass(frozen=True)
class Probe(Described):
    """One question put to a running scorer.

    Attributes:
        ask: asks, and answers.
    """

    ask: Callable[[Scorer], Answer] = field(repr=False)

    def run(self, scorer: Scorer) -> ProbeResult:
        """Put the question; a probe that cannot be run leaves it open, and says so."""
        try:
            return ProbeResult(self.id, *self.ask(scorer))
        except Exception as error:
            return ProbeResult(self.id, "crashed", f"{type(error).__name__}: {str(error)[:600]}")


def probe(id: str, title: str, *, why: str, clears: str) -> Callable[[Callable[[Scorer], Answer]], Probe]:
    """Make a probe of the function that asks its question."""
    return lambda ask: Probe(id, title, why, clears, ask)


def verdict(holds: bool, passed: str, failed: str, **numbers: Number) -> Answer:
    """Passed or failed, each with its sentence."""
    return ("passed", passed, numbers) if holds else ("failed", failed, numbers)


def skipped(why: str, **numbers: Number) -> Answer:
    """The question does not apply to this scorer."""
    return "not applicable", why, numbers
