"""The byte budget: code and model as the rules count them, logged against what lies in the folder."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.challenge.audit.finding import Severity
from regrow.challenge.audit.record.check import Found, check
from regrow.challenge.audit.record.claims import claimed_size
from regrow.challenge.audit.record.record import Record
from regrow.challenge.facts import LIMIT_BYTES as LIMIT

#: Compressed code can be made smaller still than our LZMA of it (minified, another coder): below this share the sum
#: proves nothing.
_CERTAIN = 1.003


def _files(record: Record) -> str:
    return "\n".join(f"{record.folder.name(p)}: {size:,} bytes" for p, size in record.size.files.items())


@check(
    "over-the-cap",
    "Code and model exceed the byte limit",
    why="The limit is the challenge: a larger artifact is another league.",
    clears="A log whose total, with every local file the script needs, is within 16,000,000 decimal bytes.",
)
def over_the_cap(record: Record) -> Iterator[Found]:
    size, claimed = record.size, claimed_size(record.claims)
    official = record.track != "non-record"
    if size.total is not None and size.total[1].value > LIMIT:
        log, note = size.total
        real = (size.model or note.value) + size.packed
        certain = size.model is None or real > LIMIT
        official = official and record.headline is not None
        message = (
            f"The log behind the headline prints {note.value:,} bytes, {note.value - LIMIT:,} over the limit of "
            f"{LIMIT:,}" + ("." if certain else f"; with its code compressed it would be {real:,}.")
        )
        severity: Severity = "high" if certain and official else "medium" if certain else "low"
        yield Found(severity, "high" if certain else "medium", log.path, note.line, message, note.text)
    elif claimed is not None and claimed[0] > LIMIT:
        message = f"The submission itself states {claimed[0]:,} bytes, over the limit of {LIMIT:,}."
        severity = "high" if official else "medium"
        yield Found(severity, "medium", record.claims.path, claimed[1], message, claimed[2])
    elif size.model is not None and size.code and size.model + size.code > LIMIT:
        least = size.model + size.packed
        message = (
            f"Model {size.model:,} + code as it lies here {size.code:,} = {size.model + size.code:,} bytes, over the "
            f"limit of {LIMIT:,}; with the code compressed {least:,}."
        )
        severity = ("high" if official else "medium") if least > LIMIT * _CERTAIN else "low"
        yield Found(severity, "medium", size.script, None, message, _files(record))


@check(
    "size-not-as-logged",
    "The size claimed is not the size logged",
    why="A size nobody can find in a log cannot be held against the limit.",
    clears="Quote the total of the log that the headline comes from.",
)
def not_as_logged(record: Record) -> Iterator[Found]:
    claimed, total = claimed_size(record.claims), record.size.total
    if claimed and total and total[1].value > claimed[0] * 1.002 + 2_000:
        log, note = total
        message = f"{claimed[0]:,} bytes are claimed, but a log behind the headline prints {note.value:,}."
        evidence = f"{claimed[2]}\n{record.place(log.path, note.line)}: {note.text}"
        yield Found("low", "high", record.claims.path, claimed[1], message, evidence)


@check(
    "code-not-counted",
    "Code that the script needs was not counted",
    why="The rules count every byte of code that runs; helpers and unpacked source are part of it.",
    clears="Count the files listed, or ship the script in the form that was counted.",
)
def not_counted(record: Record) -> Iterator[Found]:
    size = record.size
    logged = max((n.value for log in record.logs for n in log.code), default=0)
    if size.script and logged and size.code > logged * 1.1 + 500:
        message = (
            f"The logs count {logged:,} bytes of code, but the script and the {len(size.files) - 1} local file(s) it "
            f"needs make {size.code:,}"
            + (f" ({size.packed:,} compressed)." if size.packed < logged * 1.2 else ".")
        )
        yield Found("low", "medium", size.script, None, message, _files(record))


CHECKS = (over_the_cap, not_as_logged, not_counted)
