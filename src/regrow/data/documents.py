"""Documents, and what a source gives: documents to train on and held-out text.

A corpus may be larger than memory. So texts are not held but read anew at each pass, in one fixed order; of each
only its size and eight bytes of its SHA-256 stay. A text is `bytes`, or a view of a mapped file where it is large.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import DataError

Text: TypeAlias = bytes | memoryview

# What ends a document in a text. Begins with the form feed itself, which a search finds ten times sooner than the
# beginnings of lines.
FORM_FEED_LINE = re.compile(rb"\x0c(?<![^\n]\x0c)\r?(?:\n|\Z)")


class Document(NamedTuple):
    """A text and the group it belongs to: documents of one group are left out of the memory together."""

    text: Text
    group: int


class Documents:
    """Documents in their order, read anew by each iteration; groups never fall from one to the next."""

    def __init__(self, read: Callable[[], Iterable[Document]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[Document]:
        return iter(self._read())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Texts:
    """Texts in a fixed order, read anew by each iteration.

    `keys`: uint64, of each text the first 8 bytes of its SHA-256. `sizes`: int64, bytes. Iterating raises
    DataError if the texts are no longer those that were surveyed.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Text]],
        keys: NDArray[np.uint64],
        sizes: NDArray[np.int64],
        source: str,
    ) -> None:
        self._read, self.keys, self.sizes, self._source = read, keys, sizes, source
        self._chosen: NDArray[np.bool_] | None = None

    @classmethod
    def survey(
        cls, read: Callable[[], Iterable[Text]], source: str, tell: Callable[[int], None] = lambda size: None
    ) -> Texts:
        """Read everything once; `tell` is told the size of each text."""
        keys, sizes = array("Q"), array("q")
        for text in read():
            keys.append(int.from_bytes(hashlib.sha256(text).digest()[:8], "big"))
            sizes.append(len(text))
            tell(len(text))
        return cls(read, np.array(keys, np.uint64), np.array(sizes, np.int64), source)

    @classmethod
    def of(cls, texts: list[bytes], source: str = "texts") -> Texts:
        """Texts that are in memory."""
        return cls.survey(lambda: texts, source)

    def chosen(self, mask: NDArray[np.bool_]) -> Texts:
        """Those of the texts where `mask` is true."""
        part = Texts(self._read, self.keys, self.sizes, self._source)
        part._chosen = mask if self._chosen is None else self._chosen & mask
        return part

    @property
    def total_bytes(self) -> int:
        """The size of all of them together."""
        return int(self.sizes.sum() if self._chosen is None else self.sizes[self._chosen].sum())

    def __len__(self) -> int:
        return len(self.sizes) if self._chosen is None else int(self._chosen.sum())

    def __iter__(self) -> Iterator[Text]:
        seen = 0
        for text in self._read():
            if seen >= len(self.sizes) or len(text) != self.sizes[seen]:
                raise self._changed()
            if self._chosen is None or self._chosen[seen]:
                yield text
            seen += 1
        if seen != len(self.sizes):
            raise self._changed()

    def _changed(self) -> DataError:
        return DataError(f"{self._source}: changed while it was being read; run the command again.")


@dataclass(frozen=True)
class Corpus:
    """What a source gives. Held-out texts are joined by one newline. `train_bytes`: the size of the training text."""

    name: str
    train: Documents
    held_out: Texts
    train_bytes: int
    fingerprint: str  # equal for equal texts split alike
    files: tuple[str, ...] = ()  # what was read, a line a file
    left_out: tuple[str, ...] = ()  # what was not, and why
    split: str = ""  # what was held out, in a sentence, where `hold_out` chose it

    @property
    def validation(self) -> bytes:
        """The held-out text in one piece."""
        return b"\n".join(self.held_out)

    @classmethod
    def of(cls, name: str, texts: Texts, held_out: Texts) -> Corpus:
        """A corpus that trains on `texts`, in groups as `in_groups` makes them."""
        digest = hashlib.sha256()
        for part in (texts, held_out):
            mask = np.ones(len(part.sizes), np.bool_) if part._chosen is None else part._chosen
            for values in (part.keys[mask], part.sizes[mask]):
                digest.update(values.tobytes())
            digest.update(b"|")
        return cls(name, in_groups(texts), held_out, texts.total_bytes, digest.hexdigest())


# Text counted ahead of training is predicted with its own group left out, so there must be several groups;
# and a part must be long enough to be a text.
MIN_GROUPS = 32
MIN_PART_BYTES = 1024
_MOST_REACH = 1 << 20  # bytes in which the end of a line is looked for


_NEAR = 0.1  # of the bytes to hold out: nearer than this to it is near enough


def hold_out(texts: Texts, fraction: float, source: str) -> tuple[Texts, Texts]:
    """Split `texts` into those to train on and those held out, about `fraction` of their bytes.

    Which documents are held out depends on the SHA-256 of each alone, so equal ones are never on both sides
    and the order of files does not matter. Of one that is too long the end is held out, from a line's beginning
    if there is one near; what would be less than `MIN_PART_BYTES` is not cut. Raises DataError, naming `source`, if
    either side would be empty.
    """
    if len(np.unique(texts.keys)) == 1:  # one document, however often
        only = next(iter(texts))
        texts = Texts.survey(lambda: [only], source)
    taken, cut = _held_out(texts, fraction * texts.total_bytes)
    held = np.isin(texts.keys, np.array(taken, np.uint64))
    if cut is not None:
        number, length = cut
        document = next(islice(iter(texts), number, None))
        at = boundary(document, len(document) - length, length // 4)
        if not 0 < at < len(document):
            raise DataError(
                f"{source}: {len(document)} bytes are too few to hold out a part of them (data.val_fraction is "
                f"{fraction:g}); give it more text, or change data.val_fraction."
            )
        whole, held = texts, np.insert(held, number + 1, True)
        texts = Texts.survey(lambda: _cut(whole, number, at), source)
    return texts.chosen(~held), texts.chosen(held)


def _held_out(texts: Texts, wanted: float) -> tuple[list[int], tuple[int, int] | None]:
    """The keys of the documents that are held out whole, and the number of the one whose end is, with its bytes."""
    keys, first, copies = np.unique(texts.keys, return_index=True, return_counts=True)
    sizes: NDArray[np.int64] = texts.sizes[first]
    small = int(np.argmin(sizes * copies))
    if len(keys) > 1 and sizes[small] * copies[small] <= MIN_PART_BYTES:
        least = max(MIN_PART_BYTES, _NEAR * wanted)
    else:
        least = 0.0  # no document is small enough to be held out whole for want of another
    taken: list[int] = []
    missing = wanted
    for key, number, size, count in zip(*(a.tolist() for a in (keys, first, sizes, copies)), strict=True):
        if len(taken) + 1 < len(keys) and size * count <= missing + _NEAR * wanted:
            taken.append(key)
            missing -= size * count
        elif count == 1 and size > missing >= least:
            return taken, (number, max(1, round(missing)))
        if missing <= _NEAR * wanted:
            break
    return taken or [int(keys[small])], None


def _cut(texts: Iterable[Text], number: int, at: int) -> Iterator[Text]:
    """The texts, of which that of this number comes as two."""
    for i, text in enumerate(texts):
        if i == number:
            yield text[:at]
            text = text[at:]
        yield text


def in_groups(texts: Texts) -> Documents:
    """Each text a document and a group of its own; of few texts the longest are cut until there are enough.

    Cuts are at line ends where there are any near. No part falls below `MIN_PART_BYTES`.
    """

    def whole() -> Iterator[Document]:
        return (Document(text, group) for group, text in enumerate(texts))

    def cut() -> Iterator[Document]:
        total, group = max(texts.total_bytes, 1), 0
        for text in texts:
            for start, stop in _parts(text, total):
                yield Document(text[start:stop], group)
                group += 1

    return Documents(whole if len(texts) >= MIN_GROUPS else cut)


def _parts(text: Text, total: int) -> Iterable[tuple[int, int]]:
    """Where the parts of a text begin and end, one of few that are `total` bytes together."""
    wanted = -(-len(text) * MIN_GROUPS // total)
    number = max(1, min(wanted, len(text) // MIN_PART_BYTES))
    ends = [boundary(text, len(text) * i // number, len(text) // (4 * number)) for i in range(1, number)]
    return pairwise(sorted({0, *ends, len(text)}))


def boundary(text: Text, at: int, reach: int) -> int:
    """Where a line begins, at `at` or at most `reach` bytes (and a megabyte) before it; else where a character
    begins."""
    low = max(0, at - min(reach, _MOST_REACH))
    line = bytes(text[low:at]).rfind(b"\n")
    if line >= 0:
        return low + line + 1
    start = at
    while start > max(0, at - 3) and start < len(text) and text[start] & 0xC0 == 0x80:
        start -= 1
    # Four continuation bytes in a row are not UTF-8: any place is as good.
    return start if start == len(text) or text[start] & 0xC0 != 0x80 else at
