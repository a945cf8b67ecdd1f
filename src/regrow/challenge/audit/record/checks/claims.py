"""The claims themselves: can they be read, and can the numbers be at all?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from regrow.challenge.audit.record.check import Found, check
from regrow.challenge.audit.record.claims import Claims
from regrow.challenge.audit.record.possible import FIGURE, figures, impossible, is_difference, no_figures
from regrow.challenge.audit.record.record import Record

#: So many impossible figures are named; the rest is counted.
_NAMED_AT_MOST = 8
#: Fields of which there is one.
_ONE_FIGURE = ("val_bpb", "val_loss", "bytes_total")
_SHOWN = re.compile(FIGURE, re.IGNORECASE)
_NAMES = "val_bpb|val_loss|bytes_total|artifact_bytes"
_NAME = re.compile(_NAMES, re.IGNORECASE)
_IN_TEXT = re.compile(rf"(?<![A-Za-z0-9_])({_NAMES})[\"'*`\s:=|]{{1,8}}({FIGURE})", re.IGNORECASE)


@check(
    "claims-unreadable",
    "submission.json is missing or broken",
    why="Without it nobody can see what is claimed; of a name that stands there twice, readers take one or the other.",
    clears="A submission.json that parses and states val_bpb, val_loss and bytes_total.",
)
def unreadable(record: Record) -> Iterator[Found]:
    claims = record.claims
    if claims.error:
        message = f"The claims cannot be read: {claims.error}."
        yield Found("medium", "high", claims.path, None, message, claims.text[:200])
    elif claims.path is None:
        yield Found("low", "high", record.folder.root, None, "There is no submission.json.")


@check(
    "impossible-figure",
    "A figure that no evaluation can have",
    why="Zero, negative or infinite bits per byte, a size of no bytes or of more than any disk holds, a word or a list "
    "where a number belongs: whatever made it, it measured nothing.",
    clears="The figure as it was measured; null where it was not.",
)
def impossible_figure(record: Record) -> Iterator[Found]:
    found = [*_claimed(record), *_in_readme(record), *_in_logs(record)]
    yield from found[:_NAMED_AT_MOST]
    if len(found) > _NAMED_AT_MOST:
        worst = next((f for f in found if f.severity == "high"), found[0])
        message = f"{len(found) - _NAMED_AT_MOST} more figures cannot be either."
        yield Found(worst.severity, "high", worst.path, None, message)


def _claimed(record: Record) -> Iterator[Found]:
    claims = record.claims
    for name, value in figures(claims.values):
        if reason := impossible(name, value):
            line, text = _line(claims, name, value)
            yield Found(reason[0], "high", claims.path, line, f"`{name}` is {value:.10g}: {reason[1]}.", text)
    for name, found in no_figures(claims.values):
        shown = json.dumps(found, ensure_ascii=False)
        here = ((n, text) for n, text in claims.lines() if shown in text.partition(f'"{name}"')[2])
        line, text = next(here, claims.line(f'"{name}"'))
        message = f"`{name}` is {shown[:100]}: that is no number."
        yield Found("high", "high", claims.path, line, message, text.strip()[:300])
    for name in _ONE_FIGURE:
        several = claims.values.get(name)
        if isinstance(several, list) and several:
            line, text = claims.line(f'"{name}"')
            message = f"`{name}` is a list of {len(several)}: which of them is claimed cannot be seen."
            yield Found("medium", "high", claims.path, line, message, text)


def _line(claims: Claims, name: str, value: float) -> tuple[int | None, str]:
    """Where a number stands: the first line with its name and its value, else the first with its name."""
    for line, text in claims.lines():
        _, named, rest = text.partition(f'"{name}"')
        if named and any(repr(float(shown)) == repr(value) for shown in _SHOWN.findall(rest)):
            return line, text.strip()[:300]
    return claims.line(f'"{name}"')


def _in_readme(record: Record) -> Iterator[Found]:
    header: list[str] = []
    for line, text in record.readme.lines():
        shown = [(m[1], m[2]) for m in _IN_TEXT.finditer(text) if not is_difference(text[: m.start()])]
        cells = [cell.strip(" *`") for cell in text.strip().strip("|").split("|")]
        header = [] if len(cells) < 2 else header or cells
        shown += [
            (n, c) for n, c in zip(header, cells, strict=False) if _NAME.fullmatch(n) and _SHOWN.fullmatch(c)
        ]
        for name, value in shown:
            if reason := impossible(name, float(value)):
                message = f"`{name}` is {value}: {reason[1]}."
                yield Found(reason[0], "high", record.readme.path, line, message, text.strip()[:300])


def _in_logs(record: Record) -> Iterator[Found]:
    for log in record.lead_logs:
        for odd in log.odd:
            message = f"The log prints {odd.name} {odd.value}: {odd.why}."
            yield Found("high", "high", log.path, odd.line, message, odd.text)
        for what, notes in (("total", log.totals), ("model", log.model)):
            for note in notes:
                if reason := impossible(f"{what}_bytes", note.value):
                    message = f"The log prints a {what} of {note.value:,} bytes: {reason[1]}."
                    yield Found("high", "high", log.path, note.line, message, note.text)


CHECKS = (unreadable, impossible_figure)
