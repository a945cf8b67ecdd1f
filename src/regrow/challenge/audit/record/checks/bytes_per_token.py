"""Bytes per token, and the text behind them: the denominator of every published figure.

bpb = loss / ln 2 x tokens / bytes, so a printed pair of loss and bits per byte betrays the bytes per token that were
used: loss / (ln 2 x bpb). With the number of validation tokens it betrays the bytes of text that were counted, and
every tokenizer must arrive at the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regrow.challenge.audit.finding import Confidence, Severity
from regrow.challenge.audit.record.check import Found, check
from regrow.challenge.audit.record.logs import LoggedFigure, TrainingLog
from regrow.challenge.audit.record.record import Record
from regrow.challenge.facts import EARLIER_VALIDATION_BYTES, EXPORTS, VALIDATION_BYTES
from regrow.challenge.significance import bytes_per_token

_SAME_COUNT = 0.002
_ROUNDING = 0.004


@dataclass(frozen=True)
class Implied:
    """Bytes per token that a pair of loss and bits per byte implies, and the place of the pair."""

    ratio: float
    slack: float
    path: Path | None
    line: int | None
    text: str
    log: TrainingLog | None


def _pairs(record: Record) -> Iterator[Implied]:
    """The pairs that carry the headline: in submission.json, and on the log lines it is traced to."""
    lead, found = record.headline, record.trace
    if lead is not None and lead.loss and lead.bpb and lead.loss > 0.02:
        slack = lead.tolerance / lead.bpb + 0.6e-4 / lead.loss
        yield Implied(bytes_per_token(lead.loss, lead.bpb), slack, lead.path, lead.line, lead.evidence, None)
    used = found.used if found else tuple((log, r) for log in record.logs for r in log.readings[-1:])
    for log, reading in used:
        if reading.loss and reading.bpb > 0:
            slack = reading.half_unit / reading.bpb + 0.6e-4 / max(reading.loss, 0.01)
            ratio = bytes_per_token(reading.loss, reading.bpb)
            yield Implied(ratio, slack, log.path, reading.line, reading.text, log)


def variant(log: TrainingLog | None) -> str | None:
    """The known export that a log's tokenizer names, or None for another tokenizer."""
    if log is None or log.tokenizer is None:
        return None
    name = log.tokenizer[1].replace("\\", "/").lower()
    if "caseops" in name or "lossless_caps" in name:
        return "sp8192 CaseOps" if "8192" in name else None
    match = re.search(r"fineweb_(\d+)_bpe\.model$", name)
    return f"sp{match[1]}" if match and f"sp{match[1]}" in EXPORTS else None


def _grade(deviation: float, exact_count: bool) -> tuple[Severity, Confidence]:
    size = abs(deviation)
    if size > 0.08:
        return "high", "high" if exact_count else "medium"
    return ("medium", "high") if size > 0.015 else ("low", "high")


def expected_ratio(tokens: int | None, named: str | None) -> tuple[float, str] | None:
    """Bytes per token that a validation set of `tokens` tokens must give, and how that is known."""
    for name, (count, ratio) in EXPORTS.items() if tokens else ():
        if tokens and abs(tokens - count) <= _SAME_COUNT * count:
            return ratio, f"{tokens:,} validation tokens are the {name} export, whose text gives {ratio}"
    if named:
        ratio = EXPORTS[named].bytes_per_token
        return ratio, f"the tokenizer is {named}, whose validation text gives {ratio}"
    return None


@check(
    "bytes-per-token",
    "The loss and the figure imply the wrong bytes per token",
    why="A byte count that is 10 % too high makes the figure 10 % better without a better model; every "
    "tokenizer must arrive at the bytes of one and the same text.",
    clears="Print tokens and bytes of the scored text, the bytes counted from the raw validation documents "
    "rather than from a table of token lengths, and show that loss / (ln 2 x bpb) is their quotient.",
)
def implied_ratio(record: Record) -> Iterator[Found]:
    seen: set[tuple[bool, float]] = set()
    fallback = next((log for log in record.logs if log.tokenizer or log.val_tokens), None)
    for pair in _pairs(record):
        log = pair.log or fallback
        key = (pair.log is None, round(pair.ratio, 2))
        if log is None or key in seen:
            continue
        seen.add(key)
        tokens = log.val_tokens.value if log.val_tokens else None
        known = expected_ratio(tokens, variant(log))
        if known is None:
            yield from _unknown_tokenizer(pair, tokens, log) if tokens else ()
            continue
        deviation = pair.ratio / known[0] - 1
        if abs(deviation) <= _ROUNDING + pair.slack or (tokens and _earlier(tokens, pair.ratio)):
            continue
        severity, confidence = _grade(deviation, tokens is not None)
        if pair.log is None and severity == "high":  # the claim may pair the figures of two evaluations
            others = [bytes_per_token(r.loss, r.bpb) for r in log.readings if r.loss and r.bpb]
            if any(abs(o / known[0] - 1) < _ROUNDING for o in others):
                severity, confidence = "medium", "high"
        message = (
            f"The loss and the bits per byte printed together imply {pair.ratio:.3f} bytes per token, but {known[1]} "
            f"({deviation:+.1%}): either the bytes were counted wrongly or the two figures are of different things."
        )
        evidence = f"{pair.text}\n{_count_line(log, record)}"
        yield Found(severity, confidence, pair.path, pair.line, message, evidence)


def _earlier(tokens: int, ratio: float) -> bool:
    return abs(tokens * ratio / EARLIER_VALIDATION_BYTES - 1) < _ROUNDING


def _count_line(log: TrainingLog, record: Record) -> str:
    if log.val_tokens:
        return f"{record.place(log.path, log.val_tokens.line)}: {log.val_tokens.text}"
    return f"{record.place(log.path, log.tokenizer[0])}: {log.tokenizer[1]}" if log.tokenizer else ""


def _unknown_tokenizer(pair: Implied, tokens: int, log: TrainingLog) -> Iterator[Found]:
    """A tokenizer of the author's own: the bytes counted must still be the known text's."""
    counted = tokens * pair.ratio
    deviation = counted / VALIDATION_BYTES - 1
    if deviation < 0.004 or _earlier(tokens, pair.ratio):
        return  # fewer bytes: a part of the text, which `validation-set-in-part` judges
    message = (
        f"{tokens:,} validation tokens at the implied {pair.ratio:.3f} bytes per token make {counted / 1e6:.1f} MB of "
        f"text, but the validation text has {VALIDATION_BYTES / 1e6:.1f} MB ({deviation:+.1%}): bytes are counted that "
        "are not there."
    )
    evidence = f"{pair.text}\n{log.val_tokens.text if log.val_tokens else ''}"
    yield Found(*_grade(deviation, True), pair.path, pair.line, message, evidence)


@check(
    "validation-set-in-part",
    "The scored text is not the whole validation text",
    why="Some documents are easier than others; a figure on some of them is not the benchmark's figure.",
    clears="A log of the whole validation set: its token count and its bytes.",
)
def in_part(record: Record) -> Iterator[Found]:
    used = record.trace.used[:1] if record.trace else tuple((log, None) for log in record.logs[:1])
    for log, reading in used:
        for counted, how, line, text in _counts(log, reading):
            share = counted / VALIDATION_BYTES
            from_line = how.startswith("bytes")
            if share < 0.97:
                message = (
                    f"Only {share:.1%} of the validation text was scored ({counted / 1e6:.1f} of "
                    f"{VALIDATION_BYTES / 1e6:.1f} MB; {how}); a figure on a part of it compares with no other."
                )
                confidence: Confidence = "medium" if record.track != "non-record" else "low"
                yield Found("high" if share < 0.9 else "medium", confidence, log.path, line, message, text)
            elif share > 1.005 and from_line and abs(counted / EARLIER_VALIDATION_BYTES - 1) >= 0.004:
                message = (
                    f"{counted / 1e6:.1f} MB are divided by, but the validation text has "
                    f"{VALIDATION_BYTES / 1e6:.1f} MB ({share - 1:+.1%})."
                )
                yield Found("high" if share > 1.08 else "medium", "high", log.path, line, message, text)


def _counts(log: TrainingLog, reading: LoggedFigure | None) -> Iterator[tuple[float, str, int, str]]:
    """Bytes that were scored, by the headline's line and by the loader's: how many, how known, line and text."""
    if reading and reading.counted_bytes:
        yield reading.counted_bytes, "bytes on the headline's line", reading.line, reading.text
    if (note := log.val_tokens) is None:
        return
    named = variant(log)
    ratio = EXPORTS[named].bytes_per_token if named else None
    if ratio is None and reading and reading.loss and reading.bpb:
        ratio = bytes_per_token(reading.loss, reading.bpb)
    if ratio:
        yield note.value * ratio, f"{note.value:,} tokens x {ratio:.3f}", note.line, note.text


CHECKS = (implied_ratio, in_part)
