"""Auditing one path: static rules, record checks, probes and the smoke test, put together to a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from regrow.challenge.audit.finding import Finding, crashed, worst
from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.record.accounting import account, record_findings
from regrow.challenge.audit.record.artifact_record import artifact_findings
from regrow.challenge.audit.record.record import Record, load_record
from regrow.challenge.audit.sandbox.smoke import Smoke
from regrow.challenge.audit.selection import narrowed
from regrow.challenge.audit.source.folder import Folder, read_folder
from regrow.challenge.audit.source.text import printable
from regrow.challenge.audit.static import static_findings, switched_off
from regrow.challenge.audit.subject import nothing, nothing_to_audit
from regrow.challenge.audit.verdict import Audit, clearing, judge
from regrow.core.errors import DataError


@dataclass
class _Told:
    """What was found so far, the account, and the script with its bytes of code."""

    findings: list[Finding] = field(default_factory=list)
    account: dict[str, Any] = field(default_factory=dict)
    script: Path | None = None
    code: int | None = None


def check_path(path: Path) -> None:
    """Raise DataError where there is nothing at `path`."""
    try:
        exists = path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a null byte
        exists = False
    if not exists:
        raise DataError(
            f"{path}: there is nothing to audit; give a script, a submission folder or an artifact."
        )


def audit_one(
    path: Path,
    run: Path | None = None,
    smoke: bool = False,
    out: frozenset[str] = frozenset(),
    tell: Callable[[str], None] = lambda line: None,
) -> Audit:
    """Audit a script, a submission folder or a regrow artifact.

    Args:
        path: what to audit.
        run: a shim to probe the scorer with (a regrow artifact will do).
        smoke: also import the script, build its model and take one step, on a CPU in a limited child.
        out: ids that do not count (`selection.left_out`).
        tell: is told of each probe before it is run.

    Raises:
        DataError: there is nothing at `path`, or the shim is missing.
    """
    began = time.perf_counter()
    check_path(path)
    if run is not None and not run.is_file():
        raise DataError(f"{run}: there is no such shim; docs/audit/shim.md says how to write one.")
    artifact = path.is_file() and path.suffix == ".safetensors"
    told = _Told(*artifact_findings(path)) if artifact else _read(path)
    findings = told.findings
    tested: Smoke | None = None
    if smoke and told.script is not None:
        from regrow.challenge.audit.sandbox.smoke import smoke_test

        tested = smoke_test(told.script, told.code)
        findings += _smoke_findings(tested, told.script)
    results: list[ProbeResult] = []
    confined: dict[str, str] = {}
    if run is not None:
        from regrow.challenge.audit.probe.run import run_probes

        results, confined = run_probes(run, (path if path.is_dir() else path.parent,), out=out, tell=tell)
        findings += [
            Finding("probe-crashed", "medium", "high", str(run), None, f"{r.probe}: {r.message}", "")
            for r in results
            if r.outcome == "crashed"
        ]
    findings = sorted({_placed(finding, path) for finding in findings}, key=Finding.sort_key)
    audit = _printable(
        Audit(
            path=str(path),
            verdict=judge(findings, results),
            findings=findings,
            probes=results,
            smoke=tested,
            account=told.account,
            confined=confined,
            clears=clearing(findings, results),
            seconds=round(time.perf_counter() - began, 3),
        )
    )
    return narrowed(audit, out)


def _read(path: Path) -> _Told:
    """What a script or a folder shows without being run."""
    if not path.is_dir() and not path.is_file():
        return _Told([nothing(path, "neither a file nor a folder")])
    try:
        folder = read_folder(path)
    except OSError as error:
        message = f"The folder cannot be read: {error}."
        return _Told([Finding("unreadable-source", "medium", "high", str(path), None, message, "")])
    told = _Told(static_findings(folder))
    record: Record | None = None
    if folder.script is not None:
        told.script, told.code = path, path.stat().st_size
    else:
        record = _account(folder, told)
        told.findings += _unexplained(folder, told)
    if folder.dropped:
        message = f"Not everything was read: {'; '.join(folder.dropped)}."
        told.findings.append(Finding("read-in-part", "low", "high", str(path), None, message, ""))
    told.findings += nothing_to_audit(folder, record, told.findings)
    return told


def _account(folder: Folder, told: _Told) -> Record | None:
    """Add a folder's record: findings, account, and the script it is run with."""
    try:
        record = load_record(folder)
    except Exception as error:
        told.findings.append(crashed("record", folder.root, error))
        return None
    told.findings += record_findings(record)
    try:
        told.account, told.script, told.code = account(record), record.size.script, record.size.code
    except Exception as error:
        told.findings.append(crashed("account", folder.root, error))
    return record


def _unexplained(folder: Folder, told: _Told) -> list[Finding]:
    """Findings behind switches, where a figure below every legal one has no log and nothing live explains it."""
    rules = {f.rule for f in told.findings}
    bpb = (told.account.get("headline") or {}).get("bpb")
    unexplained = {"below-known-floor", "headline-untraced"} <= rules
    if not unexplained or bpb is None or worst(told.findings) == "flagged":
        return []
    return switched_off(folder, bpb)


def _placed(finding: Finding, path: Path) -> Finding:
    """The finding with its file as the audit was given it, not as seen from the submission's folder."""
    root = path if path.is_dir() else path.parent
    if not finding.file or Path(finding.file).is_absolute() or finding.file.startswith(str(root)):
        return finding
    return msgspec.structs.replace(finding, file=str(root / finding.file))


def _smoke_findings(tested: Smoke, script: Path) -> list[Finding]:
    if tested.outcome != "fail":
        return []
    said = tested.error.splitlines()[0] if tested.error else "it gave no reason"
    message = f"The smoke test came as far as `{tested.stage}`: {said[:300]}"
    return [Finding("smoke-failed", "low", "medium", str(script), tested.line, message, tested.text)]


def _printable(audit: Audit) -> Audit:
    """The audit in text that every form can hold: what a file's name or a claim has beyond UTF-8 is replaced."""

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return printable(value)
        if isinstance(value, dict):
            return {clean(key): clean(inner) for key, inner in value.items()}
        return [clean(inner) for inner in value] if isinstance(value, list | tuple) else value

    return msgspec.convert(clean(msgspec.to_builtins(audit)), Audit)
