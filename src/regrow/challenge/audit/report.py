"""One audit as text to paste into a review."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.sandbox.smoke import Smoke
from regrow.challenge.audit.subject import NOTHING
from regrow.challenge.audit.verdict import Audit

_SOURCES = {"line": "one log line", "mean": "a mean over logs", "subset": "a mean over some of the logs"}


def report(audit: Audit, every: bool = False) -> str:
    """The audit as text.

    Args:
        audit: what was found.
        every: also the findings of low severity.
    """
    lines = [f"{audit.verdict.upper()}  {audit.path}"]
    lines += [f"  {what:<10}{text}" for what, text in summary(audit)]
    shown = [f for f in audit.findings if every or f.severity != "low" or f.rule == NOTHING]
    for finding in shown:
        lines += ["", *_finding(finding, audit)]
    hidden = len(audit.findings) - len(shown)
    if hidden:
        lines += ["", f"{hidden} finding(s) of low severity are not shown; --all prints them."]
    if audit.probes:
        lines += ["", "Probes"]
        for result in audit.probes:
            lines.append(f"  {result.outcome:<14} {result.probe:<20} {result.message.splitlines()[0]}")
            if result.outcome in ("failed", "crashed") and result.probe in audit.clears:
                lines.append(f"{'':<37}To clear: {audit.clears[result.probe]}")
        held = [f"{name} {audit.confined[name]}" for name in ("network", "files") if name in audit.confined]
        lines += [f"  The scorer's process: {'; '.join(held)}."] if held else []
    if audit.left_out:
        names = ", ".join(audit.left_out) if len(audit.left_out) < 6 else f"{len(audit.left_out)} ids"
        lines += ["", f"Not judged, on request: {names}."]
    if audit.smoke is not None:
        lines += ["", *smoke_lines(audit.smoke)]
    return "\n".join(lines)


def _finding(finding: Finding, audit: Audit) -> Iterator[str]:
    place = f"{finding.file}:{finding.line}" if finding.line else finding.file
    yield f"{finding.severity} ({finding.confidence} confidence)  {finding.rule}  {place}"
    yield from (f"  {line}" for line in finding.message.splitlines()[:6])
    yield from (f"  > {line}" for line in finding.evidence.splitlines()[:8])
    if finding.rule in audit.clears:
        yield f"  To clear: {audit.clears[finding.rule]}"


def summary(audit: Audit) -> Iterator[tuple[str, str]]:
    """The account in a few words: headline, bytes, text, seeds, each with what was found."""
    lead, size, text, seeds = (
        audit.account.get(part) or {} for part in ("headline", "bytes", "text", "seeds")
    )
    if lead.get("bpb") is not None:
        how = f"{_SOURCES[lead['kind']]} ({lead['label']})" if lead.get("kind") else "not on any log line"
        yield "headline", f"{lead['bpb']} bits per byte, {lead['stated_at']}; from {how}"
        yield from (("", line[:160]) for line in lead.get("lines", [])[:5])
    if size.get("code_here"):
        model = f"{size['model_logged']:,} logged" if size.get("model_logged") else "not logged"
        code = f"code {size['code_here']:,} here ({size['code_compressed']:,} compressed)"
        yield "bytes", f"{code}, model {model}, limit {size['limit']:,}"
    elif size.get("total"):
        yield "bytes", f"{size['total']:,}"
    if text.get("bytes_per_token"):
        known = f"; {text['expected'][1]}" if text.get("expected") else ""
        yield "text", f"{text['bytes_per_token']:.3f} bytes per token{known}"
    if seeds.get("deviation") is not None:
        p = seeds.get("p_value")
        test = f", p = {p:.2g} against {seeds['bar']:.5f}" if p is not None else ""
        spread = f"mean {seeds['mean']:.5f}, deviation {seeds['deviation']:.5f}"
        yield "seeds", f"{len(seeds['figures'])}: {spread}{test}"


def smoke_lines(smoke: Smoke) -> Iterator[str]:
    """What the smoke test came to, in lines."""
    yield f"Smoke test on a CPU: {smoke.outcome} (came as far as: {smoke.stage})"
    facts = {
        "import": f"{smoke.import_seconds} s" if smoke.import_seconds is not None else None,
        "width": smoke.width,
        "layers": smoke.layers,
        "vocabulary": smoke.vocabulary,
        "parameters": f"{smoke.parameters:,}" if smoke.parameters is not None else None,
        "code": f"{smoke.code_bytes:,} bytes" if smoke.code_bytes is not None else None,
        "loss": f"{smoke.loss:.3f} nats per token" if smoke.loss is not None else None,
        "stood in for": ", ".join(smoke.stubbed) or None,
    }
    yield "  " + ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    if smoke.error:
        yield f"  line {smoke.line}: {smoke.text}" if smoke.line else "  no line of the script's own"
        yield f"  {smoke.error.splitlines()[0][:300]}"
