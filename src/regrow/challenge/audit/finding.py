"""What the audit says: one finding, what stands behind its identifier, and the verdict that findings give.

A finding is a sentence about one line, with the evidence quoted, so that a reviewer can paste it and an
author can answer it. Severity says how wrong the number is if the finding holds; confidence says how well
the flow is established.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

Severity = Literal["low", "medium", "high"]
Confidence = Literal["low", "medium", "high"]

#: The order of severities and of confidences, weakest first.
LEVELS: tuple[Literal["low", "medium", "high"], ...] = ("low", "medium", "high")


@dataclass(frozen=True)
class Described:
    """What a rule, check, probe or note says of itself, in reports, SARIF and the documentation.

    Attributes:
        id: stable identifier, words joined by hyphens. title: one line for tables.
        why: why it matters, as a reviewer would explain it to the author. clears: what would clear a finding.
    """

    id: str
    title: str
    why: str
    clears: str


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that is wrong, or may be, at one place.

    Attributes:
        rule: identifier of the rule, e.g. `target-in-hash-key`.
        severity: how wrong the published figure is if the finding holds.
        confidence: how well the reading of the code establishes it.
        file: path as the audit was given it, or `outer.py!layer1` for a peeled layer of hidden source.
        line: line in `file`, counted from 1; None where the finding concerns the whole file.
        message: one or two sentences: what happens here and why it matters.
        evidence: the line or lines quoted from the source, newest step of the flow last.
    """

    rule: str
    severity: Severity
    confidence: Confidence
    file: str
    line: int | None
    message: str
    evidence: str

    def sort_key(self) -> tuple[int, int, str, int, str, str, str]:
        """Order of a report: the gravest and best established first, then by place. No two findings stand alike."""
        grave, sure = -LEVELS.index(self.severity), -LEVELS.index(self.confidence)
        return grave, sure, self.file, self.line or 0, self.rule, self.message, self.evidence


def crashed(name: str, path: Path, error: BaseException) -> Finding:
    """The finding that says a rule, check or probe crashed and its question stays open."""
    message = f"`{name}` crashed on this input, so its question stays open: {type(error).__name__}: {str(error)[:200]}"
    return Finding("rule-crashed", "medium", "high", str(path), None, message, "")


def asked(name: str, path: Path, question: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a rule, check or probe finds, and that it crashed, where it did: no question is dropped."""
    try:
        yield from question()
    except Exception as error:
        yield crashed(name, path, error)


def worst(findings: Iterable[Finding]) -> Literal["clean", "suspect", "flagged"]:
    """The verdict that findings alone give.

    `flagged`: a high severity held with at least medium confidence; `suspect`: any other finding above low;
    `clean`: nothing above low.
    """
    verdict: Literal["clean", "suspect", "flagged"] = "clean"
    for finding in findings:
        if finding.severity == "high" and finding.confidence != "low":
            return "flagged"
        if finding.severity != "low":
            verdict = "suspect"
    return verdict
