"""How text is cut and renamed before SentencePiece sees it, in training and in encoding alike."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regrow.core.config.schema import MIN_VOCAB

FIRST_PIECE = MIN_VOCAB  # before it: 256 byte tokens and BOS
MAX_PIECE_CHARS = 16

# White space under the names it has inside SentencePiece; those names themselves travel as byte tokens.
RENAMED = ((" ", "\x10"), ("\n", "\x11"), ("\t", "\x12"))
# U+DC80 to U+DCFF stand for bytes that are not UTF-8 (Python's error handler "surrogateescape").
NOT_FOR_SENTENCEPIECE = re.compile("([\x00\x10-\x12\udc80-\udcff]+)")

# No piece reaches across two of these: a word with the space before it, digits, signs with the line ends
# after them, white space. A word keeps one spelling in tokens whatever sign follows it, and n-grams live on
# that: merges across words save tokens and cost bits (State of the Union, vocabulary 1024, order 6).
WORDS = re.compile(
    r" ?[^\W\d_]{1,64}| ?\d{1,64}| ?(?:[^\w\s]|_){1,64}[\r\n]{0,64}|[\r\n]{1,64}"
    r"|[^\S\r\n]{1,64}(?= )|[^\S\r\n]{1,64}"
)
# Long texts are encoded a segment of one to two of these at a time, so that memory does not grow with them.
SEGMENT_BYTES = 1 << 20
_SEGMENT_CUT = re.compile(rb"(?<=[!-~])(?= )|(?<=\n)(?![\r\n])")  # as _CUT below, of ASCII characters only
# SentencePiece works through stretches of about this many characters, cut where no piece can reach across.
_STRETCH = 1024
_CUT = re.compile(r"(?<=\S)(?= )|(?<=\n)(?![\r\n])")


def rename(text: str) -> str:
    """`text` under the names its characters have inside SentencePiece."""
    for outside, inside in RENAMED:
        text = text.replace(outside, inside)
    return text


def rename_back(text: str) -> str:
    """The inverse of `rename`."""
    for outside, inside in RENAMED:
        text = text.replace(inside, outside)
    return text


def stretches(text: str) -> Iterator[str]:
    """`text` in pieces of `_STRETCH` to twice that many characters (the last may be shorter)."""
    start = 0
    while len(text) - start > 2 * _STRETCH:
        found = _CUT.search(text, start + _STRETCH, start + 2 * _STRETCH)
        end = found.start() if found else start + 2 * _STRETCH
        yield text[start:end]
        start = end
    yield text[start:]


def segments(data: bytes | memoryview) -> Iterator[bytes]:
    """`data` in segments whose tokens, one after the other, are its tokens; a text of two megabytes or less is one.

    Cuts are where no piece can reach across; only where a megabyte has no such place is one made elsewhere.
    """
    start = 0
    while len(data) - start > 2 * SEGMENT_BYTES:
        window = bytes(data[start + SEGMENT_BYTES : start + 2 * SEGMENT_BYTES])
        found = _SEGMENT_CUT.search(window, 1)
        end = start + SEGMENT_BYTES + (found.start() if found else SEGMENT_BYTES)
        for _ in range(0 if found else 3):
            end -= data[end] & 0xC0 == 0x80  # back to the beginning of a character
        yield bytes(data[start:end])
        start = end
    yield bytes(data[start:])
