"""A check: one question put to a submission's record; the counterpart of a rule over source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from regrow.challenge.audit.finding import Confidence, Described, Finding, Severity

if TYPE_CHECKING:
    from regrow.challenge.audit.record.record import Record


class Found(NamedTuple):
    """What a check found, at a line of a file; `Check.findings` puts its own name to it."""

    severity: Severity
    confidence: Confidence
    path: Path | None
    line: int | None
    message: str
    evidence: str = ""


@dataclass(frozen=True)
class Check(Described):
    """One question.

    Attributes:
        ask: reads the record and yields what is wrong.
    """

    ask: Callable[[Record], Iterator[Found]] = field(repr=False)

    def finding(self, found: Found) -> Finding:
        """What was found, as a finding of this check."""
        severity, confidence, path, line, message, evidence = found
        return Finding(self.id, severity, confidence, str(path or ""), line, message, evidence[:1500])

    def findings(self, record: Record) -> Iterator[Finding]:
        """The answer."""
        return map(self.finding, self.ask(record))


def check(
    id: str, title: str, *, why: str, clears: str
) -> Callable[[Callable[[Record], Iterator[Found]]], Check]:
    """Make a check of the function that asks its question."""
    return lambda ask: Check(id, title, why, clears, ask)
