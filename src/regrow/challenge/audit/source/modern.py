"""Lets an older Python read newer f-strings (PEP 701), whose replacement fields may reuse the outer quotes.

Minified submissions are often written for Python 3.12. An f-string that this Python's parser refuses is
replaced by a plain string of the same length in lines, so that everything around it keeps its line number.
"""

from __future__ import annotations

import re

_PREFIX = re.compile(r"(?<![\w])([rRbBuUfF]{0,2})('''|\"\"\"|'|\")")


def flatten_fstrings(text: str) -> str:
    """Replace every f-string by `''` followed by as many escaped newlines as it spanned."""
    out: list[str] = []
    position, size = 0, len(text)
    while position < size:
        char = text[position]
        if char == "#":
            end = text.find("\n", position)
            end = size if end < 0 else end
            out.append(text[position:end])
            position = end
            continue
        match = _PREFIX.match(text, position) if char in "rRbBuUfF'\"" else None
        if match is None:
            if char.isidentifier():
                end = position + 1
                while end < size and (text[end].isalnum() or text[end] == "_"):
                    end += 1
                # an identifier directly before a quote would have matched as a prefix above
                out.append(text[position:end])
                position = end
                continue
            out.append(char)
            position += 1
            continue
        prefix, quote = match.group(1).lower(), match.group(2)
        if "f" in prefix:
            end = _fstring_end(text, match.end(), quote, "r" in prefix, 0)
            lines = text.count("\n", position, end)
            out.append("'" + "\\\n" * lines + "'")
        else:
            end = _string_end(text, match.end(), quote)
            out.append(text[position:end])
        position = end
    return "".join(out)


def _string_end(text: str, position: int, quote: str) -> int:
    size = len(text)
    while position < size:
        if text[position] == "\\":
            position += 2
        elif text.startswith(quote, position):
            return position + len(quote)
        elif len(quote) == 1 and text[position] == "\n":
            return position
        else:
            position += 1
    return size


def _fstring_end(text: str, position: int, quote: str, raw: bool, depth: int) -> int:
    size = len(text)
    while position < size:
        char = text[position]
        if char == "\\" and not raw:
            position += 2
        elif text.startswith(quote, position):
            return position + len(quote)
        elif char == "{":
            if text.startswith("{{", position):
                position += 2
            else:
                position = _field_end(text, position + 1, depth)
        else:
            position += 1
    return size


def _field_end(text: str, position: int, depth: int) -> int:
    if depth > 40:
        return len(text)
    size, level = len(text), 0
    while position < size:
        char = text[position]
        match = _PREFIX.match(text, position) if char in "rRbBuUfF'\"" else None
        if match is not None:
            prefix, quote = match.group(1).lower(), match.group(2)
            if "f" in prefix:
                position = _fstring_end(text, match.end(), quote, "r" in prefix, depth + 1)
            else:
                position = _string_end(text, match.end(), quote)
        elif char in "([{":
            level += 1
            position += 1
        elif char in ")]":
            level -= 1
            position += 1
        elif char == "}":
            if level <= 0:
                return position + 1
            level -= 1
            position += 1
        else:
            position += 1
    return size
