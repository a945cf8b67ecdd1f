"""The verdict on one submission: what was found, what it means, what would clear it; and the exit code.

`flagged`: a high-severity finding of at least medium confidence, or a failed probe. `suspect`: any other finding above
low. `clean`: nothing above low. `nothing-to-audit`: there is neither a claim nor a figure nor a scorer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from regrow.challenge.audit.finding import LEVELS, Finding, Severity, worst
from regrow.challenge.audit.index import described
from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.sandbox.smoke import Smoke
from regrow.challenge.audit.subject import NOTHING

Verdict = Literal["clean", "suspect", "flagged", "nothing-to-audit"]
#: Verdicts, the gravest first.
VERDICTS: tuple[Verdict, ...] = ("flagged", "suspect", "clean", "nothing-to-audit")


class Audit(msgspec.Struct, frozen=True):
    """What the audit says of one script, submission or artifact.

    Attributes:
        path: what was audited, as it was given.
        verdict: one of `VERDICTS`.
        findings: gravest first.
        probes: one result a probe; empty where none was run.
        smoke: the smoke test, where it was run.
        account: bytes, headline, text and seeds recomputed; empty for a single script.
        confined: what the probed code was kept from.
        clears: rule or probe -> what would clear it, for those that count against the submission.
        left_out: ids that did not count, on request.
        seconds: how long the audit took.
    """

    path: str
    verdict: Verdict
    findings: list[Finding]
    probes: list[ProbeResult] = []
    smoke: Smoke | None = None
    account: dict[str, Any] = {}
    confined: dict[str, str] = {}
    clears: dict[str, str] = {}
    left_out: list[str] = []
    seconds: float = 0.0


def level(finding: Finding) -> Severity:
    """The level at which a finding counts: its severity, but one held with low confidence counts as medium at most.

    So `high` stands for what makes a verdict `flagged`, `medium` for what makes it `suspect`.
    """
    return "medium" if finding.severity == "high" and finding.confidence == "low" else finding.severity


def judge(findings: Iterable[Finding], probes: Iterable[ProbeResult]) -> Verdict:
    """The verdict that findings and probes give."""
    findings, probes = list(findings), list(probes)
    if any(p.outcome == "failed" for p in probes):
        return "flagged"
    verdict = worst(findings)
    nothing = not probes and any(f.rule == NOTHING for f in findings)
    return "nothing-to-audit" if nothing and verdict != "flagged" else verdict


def fails(audit: Audit, fail_on: Severity = "high") -> bool:
    """Whether an audit is a negative answer: a finding at `fail_on` or above, or a failed probe."""
    if any(p.outcome == "failed" for p in audit.probes):
        return True
    judged = audit.verdict != NOTHING
    return judged and any(LEVELS.index(level(f)) >= LEVELS.index(fail_on) for f in audit.findings)


def exit_code(audits: Sequence[Audit], fail_on: Severity = "high", many: bool = False) -> int:
    """The command's exit code: 1 for a negative answer; 2 where there was nothing to audit; else 0.

    Of a folder of `many` submissions some may be nothing; it is 2 where all of them are.
    """
    if any(fails(audit, fail_on) for audit in audits):
        return 1
    nothing = [audit.verdict == NOTHING for audit in audits]
    return 2 if (all(nothing) if many else any(nothing)) else 0


def clearing(findings: Iterable[Finding], probes: Iterable[ProbeResult]) -> dict[str, str]:
    """What would clear each rule that has a finding above low, and each probe that failed or crashed."""
    troubled = [f.rule for f in findings if f.severity != "low"]
    troubled += [p.probe for p in probes if p.outcome in ("failed", "crashed")]
    known = described()
    return {name: known[name].clears for name in dict.fromkeys(troubled) if name in known}
