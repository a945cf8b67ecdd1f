"""Bytes of a token as something a reader can see, whatever they are."""

from __future__ import annotations

import unicodedata

_PICTURES = {0x7F: "\u2421"} | {code: chr(0x2400 + code) for code in range(0x20)}


def visible(token: bytes) -> str:
    """UTF-8 text as it is, a line feed as a return arrow and a new line; anything else by its number.

    Control characters become their pictures, invisible formatting characters (which could turn the direction
    of the page's text) become U+..., and bytes that are no UTF-8 by themselves become hexadecimal in angle
    brackets.
    """
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        return "\u27e8" + token.hex(" ") + "\u27e9"
    return "".join(_visible_letter(letter) for letter in text)


def _visible_letter(letter: str) -> str:
    if letter == "\n":
        return "\u21b5\n"
    code = ord(letter)
    if code in _PICTURES:
        return _PICTURES[code]
    # Cc: controls beyond ASCII; Cf: formatting; Co, Cn: without a meaning of their own; Zl, Zp: line breaks.
    if unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"):
        return f"\u27e8U+{code:04X}\u27e9"
    return letter
