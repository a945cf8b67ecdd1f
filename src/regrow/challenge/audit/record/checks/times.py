"""The time limits of the record track, as the logs print them."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.challenge.audit.record.check import Found, check
from regrow.challenge.audit.record.record import Record
from regrow.challenge.facts import GRACE, LIMIT_SECONDS


@check(
    "over-the-time-limit",
    "Training or evaluation took longer than allowed",
    why="Time is part of the budget: a longer run is another league.",
    clears="A log within the limit, or the non-record track.",
)
def over_time(record: Record) -> Iterator[Found]:
    limit = round(LIMIT_SECONDS)
    for log in record.lead_logs if record.track == "record" else ():
        for what, note in (("Training", log.train_ms), ("Evaluation", log.eval_ms)):
            if note is not None and note.value > LIMIT_SECONDS * 1000 * GRACE:
                grave = what == "Training" and note.value > LIMIT_SECONDS * 1100
                message = (
                    f"{what} took {note.value / 1000:.0f} s by the log; the record track allows {limit} s."
                )
                yield Found("medium" if grave else "low", "medium", log.path, note.line, message, note.text)
                return


CHECKS = (over_time,)
