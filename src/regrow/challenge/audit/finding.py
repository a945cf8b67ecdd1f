"""What the audit says: one finding, and the rule that makes findings of its kind.

A finding is a sentence about one line, with the evidence quoted, so that a reviewer can paste it and an
author can answer it. Severity says how wrong the number is if the finding holds; confidence says how well
the flow is established. A rule documents itself: its page under `docs/audit/rules/` is generated from the
fields below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

Severity = Literal["low", "medium", "high"]
Confidence = Literal["low", "medium", "high"]

#: The order of severities and of confidences, weakest first.
LEVELS: tuple[Literal["low", "medium", "high"], ...] = ("low", "medium", "high")

#: The four conditions a bits-per-byte figure must meet (parameter-golf issue 1017), by number.
CONDITIONS: dict[int, str] = {
    1: "strict causal dependence: a prediction depends on the artifact and the strict prefix only",
    2: "one full normalised distribution over the alphabet, fixed before the target is looked at",
    3: "score before update: a token is scored before anything learns from it",
    4: "a single left-to-right pass: no token is scored twice",
}


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

    def sort_key(self) -> tuple[int, int, str, int, str]:
        """Order of a report: the gravest and best established first, then by place."""
        return (
            -LEVELS.index(self.severity),
            -LEVELS.index(self.confidence),
            self.file,
            self.line or 0,
            self.rule,
        )


@dataclass(frozen=True)
class Rule:
    """One way a figure can be wrong, and how to see it in source.

    Attributes:
        id: stable identifier, words joined by hyphens; also the name of the documentation page.
        title: one line for tables.
        why: why it matters, as a reviewer would explain it to the author.
        breaks: numbers of the conditions in `CONDITIONS` that it breaks; empty where it concerns accounting.
        severity: severity of a finding whose flow is established.
        confidence: confidence of such a finding (a rule may emit less).
        bad: a short example that the rule flags; a test runs the rule on it.
        good: the same example mended; a test checks that nothing above low remains.
        clears: what would clear a finding.
        check: reads the program and yields findings; it never executes any of it.
        cases: numbers of the known ways (the project's list of 26) that this rule is about.
    """

    id: str
    title: str
    why: str
    breaks: tuple[int, ...]
    severity: Severity
    confidence: Confidence
    bad: str
    good: str
    clears: str
    check: Callable[[Program], Iterator[Finding]] = field(repr=False)
    cases: tuple[int, ...] = ()


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
