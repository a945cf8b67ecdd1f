"""The verdict on one submission: what was found, what it means, what would clear it; and the exit code.

`flagged`: a high-severity finding of at least medium confidence, or a failed probe. `suspect`: any other
finding above low. `clean`: nothing above low.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from regrow.challenge.audit.finding import LEVELS, Finding, Severity, worst
from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.sandbox.smoke import Smoke

Verdict = Literal["clean", "suspect", "flagged"]

_WHEN_PROBE_CRASHED = (
    "A shim, or a scorer, with which every probe comes to an end; the message holds its last words."
)
_WHEN_CRASHED = "Report the crash, with the file, to regrow; until then judge this question by hand."


class Audit(msgspec.Struct, frozen=True):
    """What the audit says of one script, submission or artifact.

    Attributes:
        path: what was audited, as it was given.
        verdict: `clean`, `suspect` or `flagged`.
        findings: gravest first.
        probes: one result a probe; empty where none was run.
        smoke: the smoke test, where it was run.
        account: bytes, headline, text and seeds recomputed; empty for a single script.
        confined: what the probed code was kept from.
        clears: rule or probe -> what would clear it, for those that count against the submission.
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
    seconds: float = 0.0


def level(finding: Finding) -> Severity:
    """The level at which a finding counts: its severity, but one held with low confidence counts as medium at
    most.

    So `high` stands for what makes a verdict `flagged`, `medium` for what makes it `suspect`.
    """
    return "medium" if finding.severity == "high" and finding.confidence == "low" else finding.severity


def judge(findings: Iterable[Finding], probes: Iterable[ProbeResult]) -> Verdict:
    """The verdict that findings and probes give."""
    if any(p.outcome == "failed" for p in probes):
        return "flagged"
    return worst(findings)


def fails(audit: Audit, fail_on: Severity = "high") -> bool:
    """Whether an audit calls for exit code 1: a finding at `fail_on` or above, or a failed probe."""
    if any(p.outcome == "failed" for p in audit.probes):
        return True
    return any(LEVELS.index(level(f)) >= LEVELS.index(fail_on) for f in audit.findings)


def clearing(findings: Iterable[Finding], probes: Iterable[ProbeResult]) -> dict[str, str]:
    """What would clear each rule that has a finding above low, and each probe that failed or crashed."""
    from regrow.challenge.audit.record.accounting import CHECKS
    from regrow.challenge.audit.record.artifact_record import CHECK
    from regrow.challenge.audit.rules import RULES

    known = {rule.id: rule.clears for rule in RULES} | {check.id: check.clears for check in (*CHECKS, CHECK)}
    known["rule-crashed"], known["probe-crashed"] = _WHEN_CRASHED, _WHEN_PROBE_CRASHED
    found = {f.rule: known.get(f.rule, "") for f in findings if f.severity != "low"}
    troubled = {p.probe for p in probes if p.outcome in ("failed", "crashed")}
    if troubled:
        from regrow.challenge.audit.probe import PROBES

        found |= {p.id: p.clears for p in PROBES if p.id in troubled}
    return {name: text for name, text in found.items() if text}


def report(audit: Audit, every: bool = False) -> str:
    """The audit as text to paste into a review.

    Args:
        audit: what was found.
        every: also the findings of low severity.
    """
    lines = [f"{audit.verdict.upper()}  {audit.path}", *_summary(audit)]
    shown = [f for f in audit.findings if every or f.severity != "low"]
    for finding in shown:
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        lines += ["", f"{finding.severity} ({finding.confidence} confidence)  {finding.rule}  {place}"]
        lines += [f"  {line}" for line in finding.message.splitlines()[:6]]
        lines += [f"  > {line}" for line in finding.evidence.splitlines()[:8]]
        if finding.rule in audit.clears:
            lines.append(f"  To clear: {audit.clears[finding.rule]}")
    hidden = len(audit.findings) - len(shown)
    if hidden:
        lines += ["", f"{hidden} finding(s) of low severity are in --json."]
    if audit.probes:
        lines += ["", "Probes"]
        for result in audit.probes:
            lines.append(f"  {result.outcome:<14} {result.probe:<20} {result.message.splitlines()[0]}")
            if result.outcome in ("failed", "crashed") and result.probe in audit.clears:
                lines.append(f"{'':<37}To clear: {audit.clears[result.probe]}")
        held = [f"{name} {audit.confined[name]}" for name in ("network", "files") if name in audit.confined]
        lines += [f"  The scorer's process: {'; '.join(held)}."] if held else []
    if audit.smoke is not None:
        lines += ["", *_smoke(audit.smoke)]
    return "\n".join(lines)


def _summary(audit: Audit) -> list[str]:
    """The account in a few lines: headline, bytes, text, seeds."""
    lines = []
    lead = audit.account.get("headline") or {}
    if lead.get("bpb") is not None:
        source = {
            "line": "one log line",
            "mean": "a mean over logs",
            "subset": "a mean over some of the logs",
        }
        how = f"{source[lead['kind']]} ({lead['label']})" if lead.get("kind") else "not on any log line"
        lines.append(f"  headline  {lead['bpb']} bits per byte, {lead['stated_at']}; from {how}")
        lines += [f"            {line[:160]}" for line in lead.get("lines", [])[:5]]
    size = audit.account.get("bytes") or {}
    if size.get("code_here"):
        model = f"{size['model_logged']:,} logged" if size.get("model_logged") else "not logged"
        lines.append(
            f"  bytes     code {size['code_here']:,} here ({size['code_compressed']:,} compressed), model "
            f"{model}, "
            f"limit {size['limit']:,}"
        )
    elif size.get("total"):
        lines.append(f"  bytes     {size['total']:,}")
    text = audit.account.get("text") or {}
    if text.get("bytes_per_token"):
        known = f"; {text['expected'][1]}" if text.get("expected") else ""
        lines.append(f"  text      {text['bytes_per_token']:.3f} bytes per token{known}")
    seeds = audit.account.get("seeds") or {}
    if seeds.get("deviation") is not None:
        p = (
            f", p = {seeds['p_value']:.2g} against {seeds['bar']:.5f}"
            if seeds.get("p_value") is not None
            else ""
        )
        lines.append(
            f"  seeds     {len(seeds['figures'])}: mean {seeds['mean']:.5f}, deviation "
            f"{seeds['deviation']:.5f}{p}"
        )
    return lines


def _smoke(smoke: Smoke) -> list[str]:
    lines = [f"Smoke test on a CPU: {smoke.outcome} (came as far as: {smoke.stage})"]
    facts = {
        "import": f"{smoke.import_seconds} s" if smoke.import_seconds is not None else None,
        "width": smoke.width,
        "layers": smoke.layers,
        "vocabulary": smoke.vocabulary,
        "parameters": f"{smoke.parameters:,}" if smoke.parameters is not None else None,
        "code": f"{smoke.code_bytes:,} bytes" if smoke.code_bytes is not None else None,
        "loss": f"{smoke.loss:.3f} nats a token" if smoke.loss is not None else None,
        "stood in for": ", ".join(smoke.stubbed) or None,
    }
    lines.append("  " + ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None))
    if smoke.error:
        where = f"line {smoke.line}: {smoke.text}" if smoke.line else "no line of the script's own"
        lines += [f"  {where}", f"  {smoke.error.splitlines()[0][:300]}"]
    return lines
