"""Where the headline comes from: a log line, of the packed model, and no figure that only a fault can give."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regrow.challenge.audit.record.check import Found, check
from regrow.challenge.audit.record.record import Record
from regrow.challenge.audit.record.trace import last_by_label
from regrow.challenge.facts import BEST_LEGAL_BPB

_BEFORE_QUANTISING = re.compile(r"pre[-_ ]?quant|post_ema|post_swa|diagnostic|float|bf16|unquantized")
_FINAL = re.compile(r"roundtrip|sliding|ttt|quantized|final")


@check(
    "headline-untraced",
    "The headline stands on no log line",
    why="A figure that no log prints cannot be checked at all.",
    clears="The log that prints the headline, or the logs whose mean it is.",
)
def untraced(record: Record) -> Iterator[Found]:
    lead = record.headline
    if lead is None:
        path = record.claims.path or record.readme.path
        if path:
            message = "No headline: neither submission.json nor the README states a bits-per-byte figure."
            yield Found("low", "high", path, None, message)
        return
    if not record.logs:
        message = f"The headline {lead.bpb} comes with no log."
        yield Found("low", "high", lead.path, lead.line, message, lead.evidence)
    if not record.logs or record.trace is not None:
        return
    finals = [
        (log, reading)
        for log in record.logs
        for reading in last_by_label(log).values()
        if not reading.step and reading.bpb > 0
    ] or [(log, log.readings[-1]) for log in record.logs if log.readings]
    if not finals:
        message = (
            f"The headline {lead.bpb} stands on no line of the {len(record.logs)} log(s), which print no "
            "final figure."
        )
        yield Found("low", "medium", lead.path, lead.line, message, lead.evidence)
        return
    log, best = min(finals, key=lambda row: row[1].bpb)
    gap = best.bpb - lead.bpb
    nearest = min(finals, key=lambda row: abs(row[1].bpb - lead.bpb))[1].bpb
    message = f"The headline {lead.bpb} is neither on a log line nor a mean of one; " + (
        f"the best final figure in the logs is {best.bpb}, {gap:.4f} above it."
        if gap > 0
        else f"the nearest final figure is {nearest}."
    )
    evidence = f"{lead.evidence}\n{record.place(log.path, best.line)}: {best.text}"
    grave = gap > 0.002
    yield Found(
        "medium" if grave else "low", "high" if grave else "medium", lead.path, lead.line, message, evidence
    )


@check(
    "headline-before-packing",
    "The headline is of the model before it was packed",
    why="What is judged is the artifact: quantising costs, and the figure must pay.",
    clears="The figure of the model as reloaded from the artifact.",
)
def before_packing(record: Record) -> Iterator[Found]:
    found = record.trace
    if found is None or _FINAL.search(_BEFORE_QUANTISING.sub("", found.label)):
        return
    log, reading = found.used[0]
    later = (r for r in log.readings if r.line > reading.line and _FINAL.search(r.label))
    worse = [r for r in later if r.bpb > reading.bpb + 1e-3]
    if worse and (reading.step or _BEFORE_QUANTISING.search(found.label)):
        message = (
            f"The headline is the figure before the artifact was packed ({reading.bpb}); the packed model of the "
            f"same log scores {worse[-1].bpb}."
        )
        evidence = f"{reading.line}: {reading.text}\n{worse[-1].line}: {worse[-1].text}"
        yield Found("medium", "medium", log.path, reading.line, message, evidence)


@check(
    "below-known-floor",
    "The headline is far below every legal figure",
    why="An extraordinary figure needs the probes: a distribution that sums to one, fixed before the target is "
    "seen.",
    clears="`regrow audit --run SHIM` with every probe passed.",
)
def below_floor(record: Record) -> Iterator[Found]:
    lead = record.headline
    if lead is None or lead.bpb >= 1.0:
        return
    jump = ""
    for log in record.logs[:1]:
        honest = [r for r in log.readings if r.bpb > lead.bpb * 1.1 and not r.step]
        if honest:
            jump = f"{record.place(log.path, honest[-1].line)}: {honest[-1].text}"
    message = (
        f"The headline {lead.bpb} is far below the best legal figure when the challenge closed, about "
        f"{BEST_LEGAL_BPB} bits per byte; every published figure below 1.0 so far was no probability, a wrong byte "
        "count or a part of the text."
    )
    yield Found("medium", "medium", lead.path, lead.line, message, f"{lead.evidence}\n{jump}".strip())


CHECKS = (untraced, before_packing, below_floor)
