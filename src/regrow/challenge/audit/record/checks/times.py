"""The time limits of the record track, as the logs print them."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.records import Check, Record
from regrow.challenge.audit.record.trace import trace

#: Seconds of training, and of evaluation, that the record track allows.
LIMIT_SECONDS = 600
_GRACE = 1.01


def _times(record: Record) -> Iterator[Finding]:
    if record.track != "record":
        return
    found = trace(record)
    for log in [log for log, _ in found.used] if found else record.logs:
        for what, note in (("Training", log.train_ms), ("Evaluation", log.eval_ms)):
            if note is not None and note.value > LIMIT_SECONDS * 1000 * _GRACE:
                grave = what == "Training" and note.value > LIMIT_SECONDS * 1100
                yield CHECK.finding(
                    "medium" if grave else "low",
                    "medium",
                    (log.path, note.line),
                    f"{what} took {note.value / 1000:.0f} s by the log; the record track allows "
                    f"{LIMIT_SECONDS} s.",
                    note.text,
                )
                return


CHECK = Check(
    "over-the-time-limit",
    "Training or evaluation took longer than allowed",
    "Time is part of the budget: a longer run is another league.",
    "A log within the limit, or the non-record track.",
    _times,
)
CHECKS = (CHECK,)
