"""Documents, and what a source gives: documents to train on and held-out text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from regrow.errors import DataError


class Document(NamedTuple):
    """A text and the group it belongs to: documents of one group are left out of the memory together."""

    text: bytes
    group: int


@dataclass(frozen=True)
class Corpus:
    """What a source gives. `validation` is raw text; held-out documents are joined by one newline."""

    name: str
    train: list[Document]
    validation: bytes


# Text counted ahead of training is predicted with its own group left out, so there must be several groups;
# and a part must be long enough to be a text.
MIN_GROUPS = 32
MIN_PART_BYTES = 1024


def hold_out(texts: list[bytes], fraction: float, source: str) -> tuple[list[bytes], bytes]:
    """Split `texts` into those to train on and the held-out text, about `fraction` of them.

    Which documents are held out depends on the SHA-256 of each alone, so equal ones are never on both sides
    and the order of files does not matter. Of a single document the end is held out, from a line's beginning
    if there is one near. Raises DataError, naming `source`, if either side would be empty.
    """
    digests = [hashlib.sha256(text).digest() for text in texts]
    distinct = sorted(set(digests))
    if len(distinct) > 1:
        number = min(max(1, round(fraction * len(distinct))), len(distinct) - 1)
        held = set(distinct[:number])
        train = [text for text, digest in zip(texts, digests, strict=True) if digest not in held]
        rest = [text for text, digest in zip(texts, digests, strict=True) if digest in held]
        return train, b"\n".join(rest)
    text = texts[0]
    cut = boundary(text, int(len(text) * (1 - fraction)), len(text) // 100)
    if not 0 < cut < len(text):
        raise DataError(
            f"{source}: {len(text)} bytes are too few to hold out a part of them (data.val_fraction is "
            f"{fraction:g}); give it more text."
        )
    return [text[:cut]], text[cut:]


def in_groups(texts: list[bytes]) -> list[Document]:
    """Each text a document and a group of its own; of few texts the longest are cut until there are enough.

    Cuts are at line ends where there are any near. No part falls below `MIN_PART_BYTES`.
    """
    if len(texts) >= MIN_GROUPS:
        return [Document(text, group) for group, text in enumerate(texts)]
    total = sum(map(len, texts))
    parts: list[bytes] = []
    for text in texts:
        wanted = -(-len(text) * MIN_GROUPS // max(total, 1))
        number = max(1, min(wanted, len(text) // MIN_PART_BYTES))
        ends = [boundary(text, len(text) * i // number, len(text) // (4 * number)) for i in range(1, number)]
        edges = sorted({0, *ends, len(text)})
        parts += [text[a:b] for a, b in pairwise(edges)]
    return [Document(part, group) for group, part in enumerate(parts)]


def boundary(text: bytes, at: int, reach: int) -> int:
    """Where a line begins, at `at` or at most `reach` bytes before it; else where a character begins."""
    line = text.rfind(b"\n", max(0, at - reach), at) + 1
    if line > 0:
        return line
    start = at
    while start > max(0, at - 3) and start < len(text) and text[start] & 0xC0 == 0x80:
        start -= 1
    # Four continuation bytes in a row are not UTF-8: any place is as good.
    return start if start == len(text) or text[start] & 0xC0 != 0x80 else at
