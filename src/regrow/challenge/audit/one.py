"""Auditing one path: static rules, record checks, probes and the smoke test, put together to a verdict."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from regrow.challenge.audit.finding import Finding, worst
from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.record.accounting import account, crashed, record_findings
from regrow.challenge.audit.record.artifact_record import artifact_findings
from regrow.challenge.audit.record.checks.sizes import count, main_script
from regrow.challenge.audit.record.records import load_record
from regrow.challenge.audit.sandbox.smoke import Smoke
from regrow.challenge.audit.static import static_findings, switched_off
from regrow.challenge.audit.verdict import Audit, clearing, judge
from regrow.core.errors import DataError


def audit_one(path: Path, run: Path | None = None, smoke: bool = False) -> Audit:
    """Audit a script, a submission folder or a regrow artifact.

    Args:
        path: what to audit.
        run: a shim to probe the scorer with (a regrow artifact will do).
        smoke: also import the script, build its model and take one step, on a CPU in a limited child.

    Raises:
        DataError: there is nothing at `path`, or the shim is missing.
    """
    began = time.perf_counter()
    if not path.exists():
        raise DataError(
            f"{path}: there is nothing to audit; give a script, a submission folder or an artifact."
        )
    if run is not None and not run.is_file():
        raise DataError(f"{run}: there is no such shim; docs/audit/shim.md says how to write one.")
    findings: list[Finding] = []
    told: dict[str, object] = {}
    tested: Smoke | None = None
    if path.is_file() and path.suffix == ".safetensors":
        findings, told = artifact_findings(path)
    else:
        findings = list(static_findings(path))
        if path.is_dir():
            more, told, script, weight = _record(path)
            findings += more
            findings += _unexplained(path, findings, told)
        else:
            script, weight = path, path.stat().st_size
        if smoke and script is not None:
            from regrow.challenge.audit.sandbox.smoke import smoke_test

            tested = smoke_test(script, weight)
            findings += _of_smoke(tested, script)
    results: list[ProbeResult] = []
    confined: dict[str, str] = {}
    if run is not None:
        from regrow.challenge.audit.probe.probing import probe

        results, confined = probe(run, (path if path.is_dir() else path.parent,))
        findings += [
            Finding("probe-crashed", "medium", "high", str(run), None, f"{r.probe}: {r.message}", "")
            for r in results
            if r.outcome == "crashed"
        ]
    findings = sorted({_placed(finding, path) for finding in findings}, key=Finding.sort_key)
    return Audit(
        path=str(path),
        verdict=judge(findings, results),
        findings=findings,
        probes=results,
        smoke=tested,
        account=told,
        confined=confined,
        clears=clearing(findings, results),
        seconds=round(time.perf_counter() - began, 3),
    )


def _unexplained(path: Path, findings: list[Finding], told: dict[str, object]) -> list[Finding]:
    """Findings behind switches, where a figure below every legal one has no log and nothing live explains it."""
    rules = {f.rule for f in findings}
    unexplained = {"below-known-floor", "headline-untraced"} <= rules
    lead = told.get("headline")
    bpb = lead.get("bpb") if isinstance(lead, dict) else None
    if not unexplained or bpb is None or worst(findings) == "flagged":
        return []
    return switched_off(path, bpb)


def _placed(finding: Finding, path: Path) -> Finding:
    """The finding with its file as the audit was given it, not as seen from the submission's folder."""
    root = path if path.is_dir() else path.parent
    if not finding.file or Path(finding.file).is_absolute() or finding.file.startswith(str(root)):
        return finding
    placed = str(root / finding.file)
    return msgspec.structs.replace(finding, file=placed)


def _record(path: Path) -> tuple[list[Finding], dict[str, object], Path | None, int | None]:
    """Findings and account of a folder, the script it is run with and the bytes of its code."""
    try:
        record = load_record(path)
    except Exception as error:
        return [crashed("record", path, error)], {}, None, None
    findings = record_findings(record)
    try:
        return findings, account(record), main_script(record), count(record).code
    except Exception as error:
        return [*findings, crashed("account", path, error)], {}, main_script(record), None


def _of_smoke(tested: Smoke, script: Path) -> list[Finding]:
    if tested.outcome != "fail":
        return []
    said = tested.error.splitlines()[0] if tested.error else "it gave no reason"
    return [
        Finding(
            "smoke-failed", "low", "medium", str(script), tested.line,
            f"The smoke test came as far as `{tested.stage}`: {said[:300]}", tested.text,
        )
    ]  # fmt: skip
