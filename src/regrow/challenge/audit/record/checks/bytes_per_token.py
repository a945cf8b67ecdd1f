"""Bytes per token, and the text behind them: the denominator of every published figure.

bpb = loss / ln 2 x tokens / bytes, so a printed pair of loss and bits per byte betrays the bytes per token
that were used: loss / (ln 2 x bpb). With the number of validation tokens it betrays the bytes of text that
were counted, and every tokenizer must arrive at the same text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regrow.challenge.audit.finding import Confidence, Finding, Severity
from regrow.challenge.audit.record.logs import Reading, RunLog
from regrow.challenge.audit.record.records import Check, Headline, Record, headline
from regrow.challenge.audit.record.trace import short, trace

#: Bytes of the fixed validation text (the first 50,000 documents), and of the export in use before
#: 2026-03-18.
VALIDATION_BYTES = 151.08e6
EARLIER_VALIDATION_BYTES = 155.77e6

#: Validation tokens of the known exports, with the bytes per token each must give.
KNOWN_EXPORTS: dict[str, tuple[int, float]] = {
    "sp1024": (62_021_632, 2.436),
    "sp4096": (45_508_608, 3.320),
    "sp8192": (40_540_160, 3.727),
    "sp8192 CaseOps": (47_851_520, 3.157),
    "bytes": (151_130_112, 1.0),
}

_SAME_COUNT = 0.002
_ROUNDING = 0.004


@dataclass(frozen=True)
class Implied:
    """Bytes per token that a pair of loss and bits per byte implies, and the place of the pair."""

    ratio: float
    slack: float
    where: str
    line: int | None
    text: str
    log: RunLog | None


def implied(loss: float, bpb: float) -> float:
    """Bytes per token behind a loss (nats per token) and a figure (bits per byte)."""
    return loss / (math.log(2) * bpb)


def _pairs(record: Record, lead: Headline | None) -> Iterator[Implied]:
    """The pairs that carry the headline: in submission.json, and on the log lines it is traced to."""
    if lead is not None and lead.loss and lead.bpb and lead.loss > 0.02:
        slack = lead.tolerance / lead.bpb + 0.6e-4 / lead.loss
        yield Implied(implied(lead.loss, lead.bpb), slack, str(lead.path), lead.line, lead.evidence, None)
    found = trace(record, lead) if lead else None
    used = found.used if found else tuple((log, r) for log in record.logs for r in log.readings[-1:])
    for log, reading in used:
        if reading.loss and reading.bpb > 0:
            slack = reading.half_unit / reading.bpb + 0.6e-4 / max(reading.loss, 0.01)
            yield Implied(
                implied(reading.loss, reading.bpb), slack, str(log.path), reading.line, reading.text, log
            )


def variant(log: RunLog | None) -> str | None:
    """The known export that a log's tokenizer names, or None for another tokenizer."""
    if log is None or log.tokenizer is None:
        return None
    name = log.tokenizer[1].replace("\\", "/").lower()
    if "caseops" in name or "lossless_caps" in name:
        return "sp8192 CaseOps" if "8192" in name else None
    match = re.search(r"fineweb_(\d+)_bpe\.model$", name)
    return f"sp{match[1]}" if match and f"sp{match[1]}" in KNOWN_EXPORTS else None


def _grade(deviation: float, exact_count: bool) -> tuple[Severity, Confidence]:
    size = abs(deviation)
    if size > 0.08:
        return "high", "high" if exact_count else "medium"
    return ("medium", "high") if size > 0.015 else ("low", "high")


def expected_ratio(tokens: int | None, named: str | None) -> tuple[float, str] | None:
    """Bytes per token that a validation set of `tokens` tokens must give, and how that is known."""
    if tokens:
        for name, (count, ratio) in KNOWN_EXPORTS.items():
            if abs(tokens - count) <= _SAME_COUNT * count:
                return ratio, f"{tokens:,} validation tokens are the {name} export, whose text gives {ratio}"
    if named:
        return KNOWN_EXPORTS[named][
            1
        ], f"the tokenizer is {named}, whose validation text gives {KNOWN_EXPORTS[named][1]}"
    return None


def _bytes_per_token(record: Record) -> Iterator[Finding]:
    lead = headline(record)
    seen: set[tuple[str, float]] = set()
    fallback = next((log for log in record.logs if log.tokenizer or log.val_tokens), None)
    for pair in _pairs(record, lead):
        log = pair.log or fallback
        key = ("claim" if pair.log is None else "log", round(pair.ratio, 2))
        if log is None or key in seen:
            continue
        seen.add(key)
        tokens = log.val_tokens.value if log.val_tokens else None
        known = expected_ratio(tokens, variant(log))
        if known is None and tokens:
            yield from _unknown_tokenizer(pair, tokens, log)
            continue
        if known is None:
            continue
        deviation = pair.ratio / known[0] - 1
        if abs(deviation) <= _ROUNDING + pair.slack or (tokens and _earlier(tokens, pair.ratio)):
            continue
        severity, confidence = _grade(deviation, tokens is not None)
        if pair.log is None:  # the claim may pair a loss and a figure of two different evaluations
            others = [implied(r.loss, r.bpb) for r in log.readings if r.loss and r.bpb]
            if any(abs(o / known[0] - 1) < _ROUNDING for o in others) and severity == "high":
                severity, confidence = "medium", "high"
        yield CHECK.finding(
            severity,
            confidence,
            (_path(pair.where), pair.line),
            f"The loss and the bits per byte printed together imply {pair.ratio:.3f} bytes per token, but "
            f"{known[1]} "
            f"({deviation:+.1%}): either the bytes were counted wrongly or the two figures are of different "
            "things.",
            f"{pair.text}\n{_count_line(log, record)}",
        )


def _path(text: str) -> Path:
    return Path(text)


def _earlier(tokens: int, ratio: float) -> bool:
    return abs(tokens * ratio / EARLIER_VALIDATION_BYTES - 1) < _ROUNDING


def _count_line(log: RunLog, record: Record) -> str:
    if log.val_tokens:
        return f"{short(log.path, record.root)}:{log.val_tokens.line}: {log.val_tokens.text}"
    return f"{short(log.path, record.root)}:{log.tokenizer[0]}: {log.tokenizer[1]}" if log.tokenizer else ""


def _unknown_tokenizer(pair: Implied, tokens: int, log: RunLog) -> Iterator[Finding]:
    """A tokenizer of the author's own: the bytes counted must still be the known text's."""
    counted = tokens * pair.ratio
    deviation = counted / VALIDATION_BYTES - 1
    if deviation < 0.004 or _earlier(tokens, pair.ratio):
        return  # fewer bytes: a part of the text, which `validation-set-in-part` judges
    severity, confidence = _grade(deviation, True)
    yield CHECK.finding(
        severity,
        confidence,
        (_path(pair.where), pair.line),
        f"{tokens:,} validation tokens at the implied {pair.ratio:.3f} bytes per token make "
        f"{counted / 1e6:.1f} MB of text, "
        f"but the validation text has {VALIDATION_BYTES / 1e6:.1f} MB ({deviation:+.1%}): bytes are counted "
        "that are not there.",
        f"{pair.text}\n{log.val_tokens.text if log.val_tokens else ''}",
    )


def _in_part(record: Record) -> Iterator[Finding]:
    lead = headline(record)
    found = trace(record, lead) if lead else None
    used: tuple[tuple[RunLog, Reading | None], ...] = (
        found.used if found else tuple((log, None) for log in record.logs[:1])
    )
    for log, reading in used[:1]:
        loss = reading.loss if reading else None
        ratio = implied(loss, reading.bpb) if reading and loss and reading.bpb else None
        counts: list[tuple[float, str, int, str]] = []
        if reading and reading.counted_bytes:
            counts.append((reading.counted_bytes, "bytes on the headline's line", reading.line, reading.text))
        if log.val_tokens:
            named = variant(log)
            per_token = KNOWN_EXPORTS[named][1] if named else ratio
            if per_token:
                note = log.val_tokens
                counts.append(
                    (note.value * per_token, f"{note.value:,} tokens x {per_token:.3f}", note.line, note.text)
                )
        for counted, how, line, text in counts:
            share = counted / VALIDATION_BYTES
            if share < 0.97:
                yield PART.finding(
                    "high" if share < 0.9 else "medium",
                    "medium" if record.track != "non-record" else "low",
                    (log.path, line),
                    f"Only {share:.1%} of the validation text was scored ({counted / 1e6:.1f} of "
                    f"{VALIDATION_BYTES / 1e6:.1f} MB; "
                    f"{how}); a figure on a part of it compares with no other.",
                    text,
                )
            elif (
                share > 1.005
                and how.startswith("bytes")
                and not abs(counted / EARLIER_VALIDATION_BYTES - 1) < 0.004
            ):
                yield PART.finding(
                    "high" if share > 1.08 else "medium",
                    "high",
                    (log.path, line),
                    f"{counted / 1e6:.1f} MB are divided by, but the validation text has "
                    f"{VALIDATION_BYTES / 1e6:.1f} MB ({share - 1:+.1%}).",
                    text,
                )


CHECK = Check(
    id="bytes-per-token",
    title="The loss and the figure imply the wrong bytes per token",
    why="A byte count that is 10 % too high makes the figure 10 % better without a better model; every "
    "tokenizer must arrive at the bytes of one and the same text.",
    clears="Print tokens and bytes of the scored text, the bytes counted from the raw validation documents "
    "rather than from a table of token lengths, and show that loss / (ln 2 x bpb) is their quotient.",
    run=_bytes_per_token,
)

PART = Check(
    id="validation-set-in-part",
    title="The scored text is not the whole validation text",
    why="Some documents are easier than others; a figure on some of them is not the benchmark's figure.",
    clears="A log of the whole validation set: its token count and its bytes.",
    run=_in_part,
)

CHECKS = (CHECK, PART)
