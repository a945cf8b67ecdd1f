"""Findings as SARIF 2.1.0, the format that code-scanning viewers read (OASIS standard, 2020-03-27)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.index import identifiers
from regrow.challenge.audit.verdict import Audit, level

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"low": "note", "medium": "warning", "high": "error"}
_SECURITY = {"low": "2.0", "medium": "5.0", "high": "8.0"}


def sarif(audits: Sequence[Audit], version: str) -> dict[str, Any]:
    """One run with every finding, and every failed probe, of some audits.

    Args:
        audits: what was found.
        version: of this tool.

    Returns:
        A SARIF log, ready for a JSON encoder.
    """
    rules = _described()
    results: list[dict[str, Any]] = []
    for audit in audits:
        results += [_result(finding) for finding in audit.findings]
        results += [
            _plain(probe.probe, "error", probe.message, audit.path)
            for probe in audit.probes
            if probe.outcome == "failed"
        ]
    used = list(dict.fromkeys(result["ruleId"] for result in results))
    for result in results:
        result["ruleIndex"] = used.index(result["ruleId"])
    driver = {
        "name": "regrow audit",
        "semanticVersion": version,
        "rules": [rules.get(name, {"id": name, "name": name}) for name in used],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _described() -> dict[str, dict[str, Any]]:
    """Every identifier as a SARIF reporting descriptor."""
    return {
        one.id: {
            "id": one.id,
            "name": one.id,
            "shortDescription": {"text": one.title},
            "fullDescription": {"text": one.why},
            "help": {"text": f"To clear: {one.clears}"},
        }
        for one in identifiers()
    }


def _result(finding: Finding) -> dict[str, Any]:
    counted = level(finding)
    result = _plain(
        finding.rule, _LEVELS[counted], finding.message, finding.file, finding.line, finding.evidence
    )
    result["properties"] = {
        "severity": finding.severity,
        "confidence": finding.confidence,
        "security-severity": _SECURITY[counted],
    }
    return result


def _plain(
    rule: str, grade: str, message: str, file: str, line: int | None = None, evidence: str = ""
) -> dict[str, Any]:
    outer, _, layer = file.partition("!")
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(outer)}}
    if line and not layer:  # a layer of hidden source has lines that the outer file has not
        place["region"] = {"startLine": line}
        if evidence:
            place["region"]["snippet"] = {"text": evidence}
    where = f" (in {layer}, line {line})" if layer else ""
    return {
        "ruleId": rule,
        "level": grade,
        "message": {"text": message + where},
        "locations": [{"physicalLocation": place}],
    }


def _uri(path: str) -> str:
    from urllib.parse import quote

    pure = PurePath(path)
    return pure.as_uri() if pure.is_absolute() else quote(pure.as_posix())
