"""The account of a submission: bytes, text, headline, seeds and significance, recomputed from what lies in the folder.

The account is what a reviewer reads; `record_findings` is what is wrong with it.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

from regrow.challenge.audit.finding import Finding, asked
from regrow.challenge.audit.record.checks import CHECKS
from regrow.challenge.audit.record.checks.bytes_per_token import expected_ratio, variant
from regrow.challenge.audit.record.claims import number
from regrow.challenge.audit.record.record import Record
from regrow.challenge.facts import LIMIT_BYTES, RECORD_STEP_NATS
from regrow.challenge.significance import bytes_per_token


def record_findings(record: Record) -> list[Finding]:
    """Put every check to a record."""
    return [f for one in CHECKS for f in asked(one.id, record.folder.root, partial(one.findings, record))]


def account(record: Record) -> dict[str, Any]:
    """The account as plain values, for the report and for JSON: headline, bytes, text, seeds."""
    lead, found, size = record.headline, record.trace, record.size
    tested = record.significance
    log = found.used[0][0] if found else next(iter(record.logs), None)
    pair = lead if lead and lead.loss else found.used[0][1] if found else None
    tokens = log.val_tokens.value if log and log.val_tokens else None
    values = record.figures
    return {
        "headline": {
            "bpb": lead.bpb if lead else None,
            "stated_at": record.place(lead.path, lead.line) if lead and lead.path else None,
            "kind": found.kind if found else None,
            "label": found.label if found else None,
            "lines": [f"{record.place(g.path, r.line)}: {r.text}" for g, r in found.used] if found else [],
        },
        "bytes": {
            "limit": LIMIT_BYTES,
            "code_here": size.code,
            "code_compressed": size.packed,
            "files": {record.folder.name(p): bytes for p, bytes in size.files.items()},
            "model_logged": size.model,
            "total_logged": size.total[1].value if size.total else None,
            "total_claimed": number(record.claims.values.get("bytes_total")),
        },
        "text": {
            "bytes_per_token": round(bytes_per_token(pair.loss, pair.bpb), 4)
            if pair and pair.loss and pair.bpb
            else None,
            "expected": expected_ratio(tokens, variant(log)),
            "validation_tokens": tokens,
        },
        "seeds": {
            "figures": values,
            "mean": statistics.fmean(values) if values else None,
            "deviation": statistics.stdev(values) if len(values) > 1 else None,
            "bar": tested.bar if tested else None,
            "p_value": tested.p if tested else None,
            "method": f"one-sided one-sample t test against the named baseline less {RECORD_STEP_NATS} nats per token",
        },
    }
