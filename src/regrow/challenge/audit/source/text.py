"""Bytes to text, in the encodings people have: a log redirected on Windows is UTF-16, an old source Latin-1."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
#: PEP 263: what the first two lines of a Python source may declare.
_DECLARED = re.compile(rb"\A(?:[^\n]*\n)?[ \t\f]*#[^\n]*?coding[:=][ \t]*([-\w.]+)")
#: What UTF-8 cannot say, and what a terminal would obey.
_UNPRINTABLE = re.compile("[\ud800-\udfff\x00-\x08\x0b-\x1f\x7f-\x9f]")


def decode(data: bytes, python: bool = False) -> tuple[str, str]:
    """The text of a file, and the encoding it was read as; never raises.

    A byte order mark decides; then zeros in every other byte (UTF-16 without a mark); for Python source, what its
    first lines declare; then UTF-8, damaged places replaced; and Latin-1 where most of what is not ASCII is not UTF-8.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace"), name
    head = data[:4096]
    half = len(head) // 2
    even, odd = head[::2].count(0), head[1::2].count(0)
    if half > 1 and max(even, odd) > 0.6 * half and min(even, odd) < 0.1 * half:
        name = "utf-16-le" if odd > even else "utf-16-be"
        return data.decode(name, "replace"), name
    if python and (declared := _DECLARED.match(head)):
        name = declared[1].decode("ascii", "replace")
        try:
            return data.decode(name), name
        except (LookupError, ValueError):
            pass
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        damaged = text.count("\ufffd")
        if not python and len(re.findall(r"[^\x00-\x7f\ufffd]", text)) >= damaged:
            return text, "utf-8"
        return data.decode("latin-1"), "latin-1"


def printable(text: str) -> str:
    """`text` with bytes of a file name that is not UTF-8, and control characters of a log, replaced."""
    return _UNPRINTABLE.sub("\ufffd", text)
