"""ARPA files: a backoff model as text, the format that KenLM, SRILM, IRSTLM and others share.

    \\data\\
    ngram 1=3
    ngram 2=2

    \\1-grams:
    log10 probability <tab> word <tab> log10 backoff weight
    ...
    \\end\\

A missing backoff weight is 0. Words are any bytes without ASCII white space.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from regrow.core.errors import NgramError, readable
from regrow.ngram.model.backoff_table import Ngrams

_COUNT = re.compile(rb"ngram\s+(\d+)\s*=\s*(\d+)")
_HEAD_LINES = 100  # within which \data\ must stand; some tools write comments before it
_LINES_AT_ONCE = 8192
_MAX_LOG10 = 1e-3  # of a probability: a little above 1 it may have been rounded
GZIP = b"\x1f\x8b"


def is_arpa(path: Path) -> bool:
    """Whether a file, unpacked if it is gzip, begins as an ARPA file does. Raises NgramError if it cannot be read."""
    with readable(path, kind=NgramError), path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(GZIP):
        try:
            head = zlib.decompressobj(31).decompress(head)
        except zlib.error:
            return False
    return b"\\data\\" in head


def read_arpa(path: Path) -> tuple[list[bytes], list[Ngrams]]:
    """The words of an ARPA file (`.gz` too), whose ids are their places, and its n-grams of orders 1, 2, ...

    Raises NgramError, with the line, for what is no such file."""
    with readable(path, kind=NgramError), path.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if packed else raw as file:
                return _Reader(path, file).all()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise NgramError(f"{path}: is damaged ({error}); unpack or make it again.") from error


class _Reader:
    def __init__(self, path: Path, lines: Iterator[bytes] | gzip.GzipFile | BinaryIO) -> None:
        self._path, self._lines, self._number = path, iter(lines), 0
        self._ids: dict[bytes, int] = {}

    def all(self) -> tuple[list[bytes], list[Ngrams]]:
        for _ in range(_HEAD_LINES):
            if self._next() == b"\\data\\":
                break
        else:
            raise self._fault("has no \\data\\ where an ARPA file begins")
        counts: list[int] = []
        while (line := self._next()).startswith(b"ngram"):
            found = _COUNT.fullmatch(line)
            if found is None or int(found[1]) != len(counts) + 1:
                raise self._fault(f"is no 'ngram {len(counts) + 1}=COUNT'")
            counts.append(int(found[2]))
        if not counts:
            raise self._fault("has no 'ngram 1=COUNT' after \\data\\")
        orders = []
        for n, size in enumerate(counts, 1):
            if line != b"\\%d-grams:" % n:
                raise self._fault(f"is not \\{n}-grams:")
            ngrams, line = self._order(n)
            if len(ngrams.log10_N) != size:
                raise self._fault(
                    f"ends {len(ngrams.log10_N):,} {n}-grams, of which \\data\\ promises {size:,}"
                )
            orders.append(ngrams)
        if line != b"\\end\\":
            raise self._fault("is not \\end\\")
        return list(self._ids), orders

    def _next(self) -> bytes:
        """The next line that is not blank, without white space around it; at the end of the file, b""."""
        for line in self._lines:
            self._number += 1
            if stripped := line.strip():
                return stripped
        return b""

    def _order(self, n: int) -> tuple[Ngrams, bytes]:
        """The n-grams of a section, and the line after it."""
        probs: list[bytes] = []
        backoffs: list[bytes] = []
        ids: list[int] = []
        known = self._ids
        line = b""
        try:
            for raw in self._lines:
                self._number += 1
                fields = raw.split()
                if len(fields) == n + 2:
                    backoffs.append(fields[-1])
                elif len(fields) == n + 1:
                    backoffs.append(b"0")
                elif not fields:
                    continue
                elif fields[0].startswith(b"\\"):
                    line = raw.strip()
                    break
                else:
                    raise self._fault(f"has {len(fields)} fields, an entry of {n}-grams {n + 1} or {n + 2}")
                probs.append(fields[0])
                if n == 1:
                    ids.append(known.setdefault(fields[1], len(known)))
                else:
                    ids += [known[word] for word in fields[1 : n + 1]]
            numbers = np.array([probs, backoffs], np.float64).astype(np.float32).reshape(2, -1)
            if not (numbers[0] <= _MAX_LOG10).all() or not (numbers[1] < np.inf).all():  # NaN is neither
                raise ValueError("no log10 of a probability")
        except KeyError as error:
            raise self._fault(f"holds {error.args[0].decode(errors='replace')!r}, no 1-gram") from None
        except ValueError:
            raise self._fault(
                f"ends {n}-grams of which one has no number where a log10 of a probability must be"
            ) from None
        grams = np.array(ids, np.int32).reshape(-1, n)
        log10_N, backoff_N = np.nan_to_num(numbers, neginf=-99.0)
        return Ngrams(grams, log10_N.copy(), backoff_N.copy()), line

    def _fault(self, what: str) -> NgramError:
        return NgramError(f"{self._path}: line {self._number:,} {what}; make the ARPA file again.")


def write_arpa(
    file: BinaryIO | gzip.GzipFile,
    words: Sequence[bytes],
    orders: Sequence[Ngrams],
    tell: Callable[[int], None],
) -> None:
    """Write n-grams of words as text; `tell` is told how many were written."""
    file.write(b"\\data\\\n")
    for n, ngrams in enumerate(orders, 1):
        file.write(b"ngram %d=%d\n" % (n, len(ngrams.log10_N)))
    for n, ngrams in enumerate(orders, 1):
        file.write(b"\n\\%d-grams:\n" % n)
        for at in range(0, len(ngrams.log10_N), _LINES_AT_ONCE):
            part = slice(at, at + _LINES_AT_ONCE)
            texts = [b" ".join([words[i] for i in gram]) for gram in ngrams.grams_Nn[part].tolist()]
            probs = ngrams.log10_N[part].tolist()
            if n == len(orders):
                lines = [b"%.8g\t%s\n" % row for row in zip(probs, texts, strict=True)]
            else:
                rows = zip(probs, texts, ngrams.backoff_N[part].tolist(), strict=True)
                lines = [b"%.8g\t%s\t%.8g\n" % row for row in rows]
            file.write(b"".join(lines))
            tell(len(lines))
    file.write(b"\n\\end\\\n")
