"""Formats that are no plain text, by a file's name and beginning: their syntax is not trained on by mistake."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from regrow.core.magic import file_kind

FOREIGN_HEAD_BYTES = 1 << 16  # what `foreign_format` wants to see of a file
_SUFFIXES = {
    ".json": "JSON", ".geojson": "JSON", ".ipynb": "a notebook", ".csv": "a CSV table", ".tsv": "a TSV table",
    ".html": "HTML", ".htm": "HTML", ".xhtml": "HTML", ".xml": "XML", ".svg": "XML",
}  # fmt: skip
# A page without its frame. What begins programs too (<script>, <template>) and books (<i>, <p>) is none.
_HTML_PART = re.compile(
    rb"(?i)(\xef\xbb\xbf)?\s*<(title>|meta\s|link\s|div[\s>]|table[\s>]|ul[\s>]|span[\s>])"
)
_DELIMITERS = {",": "a CSV table", "\t": "a TSV table", ";": "a CSV table (with semicolons)"}
_NAME = re.compile(r"[^\W\d](\w|[ \-./()%#:](?! ))*")  # of a column
_LEAST_ROWS = 3
_LEAST_NAMELESS = (5, 3)  # rows and columns of a table whose columns have no names


def foreign_format(name: Path, head: bytes) -> str | None:
    """The format of a file of this name that begins with `head`, if it is none of text; else None.

    `head`: its first FOREIGN_HEAD_BYTES, or all of it. Tables and JSON are known by their content too.
    """
    by_name = _SUFFIXES.get(name.suffix.lower()) or file_kind(head)
    if by_name is not None or b"\0" in head:
        return by_name
    if _HTML_PART.match(head):
        return "HTML"
    whole = len(head) < FOREIGN_HEAD_BYTES
    text = head.decode("utf-8-sig", "replace")
    return "JSON" if whole and _is_json(text) else _table(text, whole)


def _is_json(text: str) -> bool:
    """Whether all of it is a JSON list or object that holds more than one thing."""
    if text.lstrip()[:1] not in ("[", "{"):
        return False
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict | list) and len(found) > 1


def _table(text: str, whole: bool) -> str | None:
    """What kind of table it is: rows of equally many fields, under names of columns or many and wide."""
    first = text.partition("\n")[0]
    return next(
        (kind for sign, kind in _DELIMITERS.items() if sign in first and _is_table(text, sign, whole)), None
    )


def _is_table(text: str, sign: str, whole: bool) -> bool:
    lines = text.rstrip("\r\n") if whole else text[: text.rfind("\n") + 1]
    try:
        rows = list(csv.reader(io.StringIO(lines, newline=""), delimiter=sign, strict=True))
    except csv.Error:
        rows = []
    if not whole:
        rows = rows[:-1]  # a quoted field may go on
    width = len(rows[0]) if rows else 0
    if width < 2:
        return False
    # In prose a space stands behind a comma, and a line may end in one.
    if any(
        len(row) != width or row[0][:1].isspace() or (sign != "\t" and row[1][:1].isspace()) for row in rows
    ):
        return False
    names = rows[0]
    named = all(map(_NAME.fullmatch, names)) and len(set(names)) == width and names not in rows[1:]
    return (named and len(rows) >= _LEAST_ROWS) or (
        len(rows) >= _LEAST_NAMELESS[0] and width >= _LEAST_NAMELESS[1]
    )
