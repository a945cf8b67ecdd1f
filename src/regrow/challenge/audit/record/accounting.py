"""The account of a submission: bytes, text, headline, seeds and significance, recomputed from what lies in
the folder.

The account is what a reviewer reads; `record_findings` is what is wrong with it. The significance is a
one-sided one-sample Student t test of the logs' figures against a bar; its tail probability is computed in
`student`.
"""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.checks import bytes_per_token, provenance, sizes, text, times
from regrow.challenge.audit.record.records import (
    Check,
    Record,
    claimed_seeds,
    headline,
    load_record,
    number,
)
from regrow.challenge.audit.record.trace import short, trace
from regrow.challenge.significance import one_sided_p

#: Nats per token by which a record must beat the one before it, and the p-value it must reach.
RECORD_STEP_NATS = 0.005
RECORD_P = 0.01

#: Every check of a record, in the order of a report.
CHECKS: tuple[Check, ...] = (
    *provenance.CHECKS,
    *bytes_per_token.CHECKS,
    *sizes.CHECKS,
    *text.CHECKS,
    *times.CHECKS,
)


@dataclass(frozen=True)
class Significance:
    """A one-sided t test of some runs against a bar, bits per byte; `p` is None where it says nothing."""

    values: list[float]
    bar: float
    p: float | None


def significance(record: Record) -> Significance | None:
    """Test the headline's runs against the baseline that submission.json names, less the step a record needs.

    Returns:
        None where fewer than two runs are known or no baseline is named.
    """
    lead = headline(record)
    found = trace(record, lead) if lead else None
    values = found.values if found and len(found.used) > 1 else list(claimed_seeds(record).values())
    baseline = next(
        (
            value
            for key, raw in record.claims.items()
            if re.search(r"baseline|prior|previous|comparison|sota", key) and "bpb" in key
            if (value := number(raw)) is not None and 0.5 < value < 5
        ),
        None,
    )
    if baseline is None or len(values) < 2 or lead is None:
        return None
    ratio = bytes_per_token.implied(lead.loss, lead.bpb) if lead.loss else 2.436
    bar = baseline - RECORD_STEP_NATS / (math.log(2) * ratio)
    return Significance(values, bar, one_sided_p(values, bar))


def record_findings(record: Record) -> list[Finding]:
    """Put every check to a record; one that crashes is itself a finding: no question is dropped."""
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found.extend(check.run(record))
        except Exception as error:
            found.append(crashed(check.id, record.root, error))
    return found


def crashed(name: str, path: Path, error: BaseException) -> Finding:
    """The finding that says a rule, check or probe crashed and its question stays open."""
    return Finding(
        rule="rule-crashed",
        severity="medium",
        confidence="high",
        file=str(path),
        line=None,
        message=f"`{name}` crashed on this input, so its question stays open: "
        f"{type(error).__name__}: {str(error)[:200]}",
        evidence="",
    )


def account(record: Record) -> dict[str, Any]:
    """The account as plain values, for the report and for JSON: bytes, headline, text, seeds."""
    lead = headline(record)
    found = trace(record, lead) if lead else None
    weighed = sizes.count(record)
    values = found.values if found and len(found.used) > 1 else list(claimed_seeds(record).values())
    tested = significance(record)
    log = found.used[0][0] if found else next(iter(record.logs), None)
    loss = lead.loss if lead and lead.loss else found.used[0][1].loss if found else None
    bpb = lead.bpb if lead and lead.loss else found.used[0][1].bpb if found else None
    return {
        "headline": {
            "bpb": lead.bpb if lead else None,
            "stated_at": _place(record, lead.path, lead.line) if lead else None,
            "kind": found.kind if found else None,
            "label": found.label if found else None,
            "lines": [f"{short(g.path, record.root)}:{r.line}: {r.text}" for g, r in found.used]
            if found
            else [],
        },
        "bytes": {
            "limit": sizes.LIMIT,
            "code_here": weighed.code,
            "code_compressed": weighed.packed,
            "files": {short(p, record.root): size for p, size in weighed.files.items()},
            "model_logged": weighed.model,
            "total_logged": weighed.total.value if weighed.total else None,
            "total_claimed": number(record.claims.get("bytes_total")),
        },
        "text": {
            "bytes_per_token": round(bytes_per_token.implied(loss, bpb), 4) if loss and bpb else None,
            "expected": bytes_per_token.expected_ratio(
                log.val_tokens.value if log and log.val_tokens else None, bytes_per_token.variant(log)
            ),
            "validation_tokens": log.val_tokens.value if log and log.val_tokens else None,
        },
        "seeds": {
            "figures": values,
            "mean": statistics.fmean(values) if values else None,
            "deviation": statistics.stdev(values) if len(values) > 1 else None,
            "bar": tested.bar if tested else None,
            "p_value": tested.p if tested else None,
            "method": "one-sided one-sample t test against the named baseline less 0.005 nats a token",
        },
    }


def _place(record: Record, path: Path | None, line: int | None) -> str:
    return f"{short(path, record.root)}:{line}" if path else ""


def audit_record(root: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and account of a submission folder."""
    record = load_record(root)
    findings = record_findings(record)
    try:
        return findings, account(record)
    except Exception as error:
        return [*findings, crashed("account", root, error)], {}
