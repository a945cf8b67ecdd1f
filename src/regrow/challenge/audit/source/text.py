"""Bytes to text, in the encodings people have: a log redirected on Windows is UTF-16, an old source Latin-1."""

from __future__ import annotations

import codecs
import contextlib
import re

from regrow.core.magic import utf16_order

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
#: PEP 263: what the first line of a Python source may declare, or the second after a comment or nothing.
_DECLARED = re.compile(r"\A(?:[ \t\f]*(?:#[^\r\n]*)?\r?\n)?[ \t\f]*#[^\r\n]*?coding[:=][ \t]*([-\w.]+)")
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
    if order := utf16_order(head):
        name = f"utf-16-{order}"
        return data.decode(name, "replace"), name
    if python and (declared := _DECLARED.match(head.decode("latin-1"))):
        name = _python_name(declared[1])
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


def wrongly_declared(text: str, encoding: str) -> str | None:
    """The encoding that a Python source declares, where Python would refuse it: it is not the one it was read as."""
    declared = _DECLARED.match(text[:4096])
    return declared[1] if declared and _python_name(declared[1]) != _python_name(encoding) else None


def _python_name(name: str) -> str:
    """What Python takes a declared encoding for: the endings that Emacs adds, as in utf-8-unix, do not count."""
    plain = name.lower().replace("_", "-")
    for usual in ("utf-8", "latin-1", "iso-8859-1", "iso-latin-1"):
        if plain == usual or plain.startswith(f"{usual}-"):
            name = "utf-8" if usual == "utf-8" else "latin-1"
    with contextlib.suppress(LookupError):
        return codecs.lookup(name).name
    return name


def printable(text: str) -> str:
    """`text` with bytes of a file name that is not UTF-8, and control characters of a log, replaced."""
    return _UNPRINTABLE.sub("\ufffd", text)
