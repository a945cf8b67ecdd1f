"""Findings that are not about a way of being wrong but about reading the source at all."""

from __future__ import annotations

#: Identifier of the finding to what it means.
READING_NOTES: dict[str, str] = {
    "unreadable-source": "A file could not be read or parsed; nothing in it was judged.",
    "hidden-source": "The script executes code that cannot be obtained from the folder without running it.",
    "decompression-bomb": "A hidden layer unpacks to more than eight megabytes; it was not opened.",
    "not-followed": "The source nests too deeply, or is too long, to be followed to its end.",
    "rule-crashed": "A rule failed; what it looks for was not judged.",
}
