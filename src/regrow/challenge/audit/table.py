"""Audits as one table, CSV or JSON, and as a page that works offline."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from regrow import __version__
from regrow.challenge.audit.index import described
from regrow.challenge.audit.report import smoke_lines, summary
from regrow.challenge.audit.verdict import VERDICTS, Audit, level
from regrow.core.errors import DataError

COLUMNS = (
    "path", "verdict", "bpb", "findings_high", "findings_medium", "findings_low", "probes_failed", "rules",
    "model_bytes", "code_bytes", "bytes_per_token", "seeds", "deviation", "seconds",
)  # fmt: skip

#: How a cell begins that a spreadsheet would run.
_RUNS = ("=", "+", "-", "@", "\t")


def tally(audits: Sequence[Audit]) -> dict[str, int]:
    """How many have each verdict, the gravest first; verdicts that nobody has are left out."""
    return {v: n for v in VERDICTS if (n := sum(a.verdict == v for a in audits))}


def row(audit: Audit, every: bool = False) -> dict[str, Any]:
    """One audit as a row of the table; `every`: with the rules of low findings."""
    severities = Counter(f.severity for f in audit.findings)
    size = audit.account.get("bytes") or {}
    seeds = audit.account.get("seeds") or {}
    return {
        "path": audit.path,
        "verdict": audit.verdict,
        "bpb": (audit.account.get("headline") or {}).get("bpb"),
        "findings_high": severities["high"],
        "findings_medium": severities["medium"],
        "findings_low": severities["low"],
        "probes_failed": sum(p.outcome == "failed" for p in audit.probes),
        "rules": " ".join(dict.fromkeys(f.rule for f in audit.findings if every or f.severity != "low")),
        "model_bytes": size.get("model_logged"),
        "code_bytes": size.get("code_here"),
        "bytes_per_token": (audit.account.get("text") or {}).get("bytes_per_token"),
        "seeds": len(seeds.get("figures") or []) or None,
        "deviation": seeds.get("deviation"),
        "seconds": audit.seconds,
    }


def to_csv(audits: Sequence[Audit]) -> str:
    """The table as CSV. A cell that a spreadsheet would run as a formula is led by an apostrophe."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for audit in audits:
        cells = row(audit)
        writer.writerow(
            {k: f"'{v}" if isinstance(v, str) and v.startswith(_RUNS) else v for k, v in cells.items()}
        )
    return out.getvalue()


def to_json(audits: Sequence[Audit]) -> bytes:
    """The audits whole, as `regrow audit --many --json` prints them."""
    return msgspec.json.format(msgspec.json.encode({"submissions": list(audits)}), indent=1)


def to_html(audits: Sequence[Audit]) -> str:
    """The audits as one page that loads nothing: by verdict, each finding with the source around it and its rule."""
    from regrow.challenge.audit.around import source_around
    from regrow.core.html import render

    ordered = sorted(audits, key=lambda a: (VERDICTS.index(a.verdict), a.path))
    named = [f.rule for a in ordered for f in a.findings] + [p.probe for a in ordered for p in a.probes]
    known = described()
    return render(
        "regrow.challenge.audit",
        "audit",
        version=__version__,
        counts=tally(audits),
        audits=[(a, row(a), source_around(a), list(summary(a))) for a in ordered],
        level=level,
        smoke_lines=smoke_lines,
        rules={name: known[name] for name in dict.fromkeys(named) if name in known},
    )


def write_table(audits: Sequence[Audit], path: Path) -> None:
    """Write the table in the form that the file's suffix names, .csv, .json or .html; the file is replaced at once.

    Raises:
        DataError: another suffix. RegrowError: the file cannot be written.
    """
    from regrow.core.files import atomic_write_bytes

    atomic_write_bytes(path, writer_of(path)(audits))


def writer_of(path: Path) -> Callable[[Sequence[Audit]], bytes]:
    """What makes the table that the file's ending asks for. Raises DataError for another ending."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return lambda audits: to_csv(audits).encode("utf-8", "backslashreplace")
    if suffix == ".json":
        return to_json
    if suffix in (".html", ".htm"):
        return lambda audits: to_html(audits).encode("utf-8", "backslashreplace")
    raise DataError(
        f"{path}: a table is written as .csv, .json or .html; give the file one of these endings."
    )
