"""The text a vocabulary is learned from: all of a corpus up to a bound, beyond it a seeded sample of that size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from regrow.data.documents import Document, Text

# Word counts of 64 MiB of text fit a few hundred megabytes, and more of it hardly changes a vocabulary.
VOCABULARY_BYTES = 1 << 26
_PIECE_BYTES = 1 << 16


def vocabulary_text(
    documents: Iterable[Document], total_bytes: int, bound: int = VOCABULARY_BYTES, seed: int = 0
) -> Iterator[Text]:
    """The training texts, or pieces of them that are at most `bound` bytes together.

    A piece is a document, or 64 KiB of a long one; it is taken if a hash of seed, document and place in it
    falls below `bound / total_bytes`, so a sample depends on neither clock nor number of processes.
    """
    if total_bytes <= bound:
        for document in documents:
            yield document.text
        return
    limit = int(bound / total_bytes * 2**64)
    room = bound
    for number, document in enumerate(documents):
        for at in range(0, len(document.text), _PIECE_BYTES):
            key = hashlib.blake2b(b"%d %d %d" % (seed, number, at), digest_size=8).digest()
            if int.from_bytes(key, "big") >= limit:
                continue
            piece = document.text[at : at + _PIECE_BYTES]
            if len(piece) > room:
                return
            room -= len(piece)
            yield piece
