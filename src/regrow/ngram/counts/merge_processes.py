"""N-gram counts of several processes made one, exactly: each process merges one range of the keys.

Every process counts its own piece of the text. Its tables are sorted, so a range of keys is a slice; slice r of every
process goes to process r (all to all), which merges them and then holds range r of the counts of the whole text. A
process so sends at most its own table once, however many there are. The ranges, laid end to end, are the whole
tables, which is what a process gets that must predict with them.

The cut points are quantiles of keys sampled from all processes, so the ranges are about equal. Equal text gives
byte-identical counts for any number of processes, since a table of sorted keys has one form.

On the wire a key keeps its words and a count takes one byte, or five from 255 on; most n-grams are rare.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.dist import Bytes, ProcessGroup
from regrow.core.errors import NgramError
from regrow.ngram.counts import keys as k
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.counts.protocol import Counts
from regrow.ngram.counts.runs import SortedRun, merge_runs
from regrow.ngram.counts.sorted_keys import locate

_SAMPLES = 256  # keys sampled a process and order for each range: ranges are even to about a sixteenth
_ESCAPE = 255  # a count of one byte that stands for a longer one

Tokens = NDArray[np.integer[Any]]


def piece_of(length: int, rank: int, world_size: int) -> slice:
    """The contiguous piece of `length` tokens that process `rank` counts; pieces differ by one token at most."""
    return slice(length * rank // world_size, length * (rank + 1) // world_size)


def count_piece(counts: Counts, tokens: Tokens, group: ProcessGroup) -> None:
    """Add this process's piece of `tokens` (one or several documents) to `counts`, with what stands before it."""
    piece = piece_of(len(tokens), group.rank, group.world_size)
    before = max(0, piece.start - (counts.max_order - 1))
    counts.add(tokens[piece], history=tokens[before : piece.start])


def merge_range(counts: NgramCounts, group: ProcessGroup) -> NgramCounts:
    """The merged counts of all processes, of this process's range of keys alone; `total` is that of the whole.

    A range is not held under the memory cap: what the cap shortens belongs to other ranges.
    """
    if group.world_size == 1:
        return counts
    runs = _windows(counts)
    starts = [_cut(run, keys, group) for run, keys in zip(runs, _cut_points(counts, group), strict=True)]
    chunks = [
        [Chunk.of(run.slice(at[r], at[r + 1])) for run, at in zip(runs, starts, strict=True)]
        for r in range(group.world_size)
    ]
    sizes = _sizes_of_all(chunks, group)[:, group.rank]
    received = [
        chunks[r]
        if r == group.rank
        else [Chunk.empty(p, *size) for p, size in zip(chunks[r], row, strict=True)]
        for r, row in enumerate(sizes.tolist())
    ]
    _exchange(chunks, received, group)
    merged = [_merge_all([chunks[i].run() for chunks in received]) for i in range(counts.max_order)]
    totals = group.sums([counts.total, *(counts.error_bound(n) for n in range(1, counts.max_order + 1))])
    return counts.of_windows(merged, int(totals[0]), [0, *map(int, totals[1:])], cap_bytes=0)


def whole_of(part: NgramCounts, group: ProcessGroup, *, cap_bytes: int = 0) -> NgramCounts:
    """The whole tables in every process, held under `cap_bytes`, from the ranges that `merge_range` left in each."""
    if group.world_size == 1:
        return part
    mine = [Chunk.of(run) for run in _windows(part)]
    sizes = _sizes_of_all([mine] * group.world_size, group)[:, group.rank]
    # The ranges are received where they belong in the whole.
    wholes = [Chunk.empty(p, *size) for p, size in zip(mine, sizes.sum(axis=0).tolist(), strict=True)]
    ends = np.cumsum(sizes, axis=0)
    ranges = [
        [p.piece(end - size, end) for p, size, end in zip(wholes, sizes[r], ends[r], strict=True)]
        for r in range(group.world_size)
    ]
    for place, own in zip(ranges[group.rank], mine, strict=True):
        for target, array in zip(place.arrays, own.arrays, strict=True):
            target[:] = array
    _exchange([mine] * group.world_size, ranges, group)
    bounds = [part.error_bound(n) for n in range(part.max_order + 1)]
    return part.of_windows([p.run() for p in wholes], part.total, bounds, cap_bytes=cap_bytes)


def merge_whole(counts: Counts, group: ProcessGroup) -> Counts:
    """The merged counts of all processes, in every process. Raises NgramError for hashed counts of several."""
    if group.world_size == 1:
        return counts
    if not isinstance(counts, NgramCounts):
        raise NgramError('memory.kind = "hashed": is counted in one process; start without torchrun')
    return whole_of(merge_range(counts, group), group, cap_bytes=counts.cap_bytes)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A run as it travels: its keys word by word, and counts of one byte, of which 255 stands for one of `large_L`."""

    order: int
    bits: int
    words_WN: k.U64
    small_N: Bytes
    large_L: NDArray[np.uint32]

    @classmethod
    def of(cls, run: SortedRun) -> Chunk:
        """Keys are shared with the run, not copied."""
        small_N = np.empty(len(run), np.uint8)
        np.minimum(run.counts_N, _ESCAPE, out=small_N, casting="unsafe")
        return cls(run.order, run.bits, run.words_WN, small_N, run.counts_N[small_N == _ESCAPE])

    @classmethod
    def empty(cls, like: Chunk, size: int, large: int) -> Chunk:
        """Room for `size` keys of which `large` have large counts."""
        words_WN = np.empty((len(like.words_WN), int(size)), np.uint64)
        small_N, large_L = np.empty(int(size), np.uint8), np.empty(int(large), np.uint32)
        return cls(like.order, like.bits, words_WN, small_N, large_L)

    def piece(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> Chunk:
        """From `start` to `stop`, each a place among the keys and one among the large counts."""
        keys, large = slice(int(start[0]), int(stop[0])), slice(int(start[1]), int(stop[1]))
        return Chunk(self.order, self.bits, self.words_WN[:, keys], self.small_N[keys], self.large_L[large])

    @property
    def arrays(self) -> list[Bytes]:
        """All that travels, as bytes of this very memory."""
        rows = [row if row.flags.c_contiguous else np.ascontiguousarray(row) for row in self.words_WN]
        return [array.view(np.uint8) for array in (*rows, self.small_N, self.large_L)]

    def run(self) -> SortedRun:
        """The run again."""
        counts_N = self.small_N.astype(np.uint32)
        counts_N[self.small_N == _ESCAPE] = self.large_L
        return SortedRun(self.order, self.bits, self.words_WN, counts_N)


def _exchange(outgoing: list[list[Chunk]], incoming: list[list[Chunk]], group: ProcessGroup) -> None:
    """Sends `outgoing[r]` to every other process r, and fills `incoming[r]` from it."""
    others = [r for r in range(group.world_size) if r != group.rank]
    group.transfer(
        [(r, array) for r in others for chunk in outgoing[r] for array in chunk.arrays],
        [(r, array) for r in others for chunk in incoming[r] for array in chunk.arrays],
    )


def _windows(counts: NgramCounts) -> list[SortedRun]:
    return [counts.windows(n) for n in range(1, counts.max_order + 1)]


def _sizes_of_all(chunks: list[list[Chunk]], group: ProcessGroup) -> NDArray[np.int64]:
    """Keys and large counts of every chunk: [from, to, order, 2]."""
    sizes = np.zeros((group.world_size, group.world_size, len(chunks[0]), 2))
    sizes[group.rank] = [[(len(p.small_N), len(p.large_L)) for p in row] for row in chunks]
    summed = np.array(group.sums(sizes.reshape(-1).tolist()))
    return summed.astype(np.int64).reshape(sizes.shape)


def _cut_points(counts: NgramCounts, group: ProcessGroup) -> list[k.U64]:
    """For each order the keys at which the ranges of processes 1, 2, ... begin, the same in every process."""
    runs = _windows(counts)
    sampled = []
    for run, size in zip(runs, group.sums([len(run) for run in runs]), strict=True):
        stride = max(1, int(size) // (_SAMPLES * group.world_size))
        sampled.append(np.ascontiguousarray(run.words_WN[:, stride // 2 :: stride]))
    result = []
    for run, sample in zip(runs, sampled, strict=True):
        pooled = [
            data.view(np.uint64).reshape(len(sample), -1)
            for data in group.share(sample.reshape(-1).view(np.uint8))
        ]
        words = np.hstack(pooled)
        words = np.take(words, k.argsort_words(words, run.order, run.bits), axis=1)
        places = [words.shape[1] * r // group.world_size for r in range(1, group.world_size)]
        result.append(np.take(words, places, axis=1) if words.shape[1] else words)
    return result


def _cut(run: SortedRun, keys: k.U64, group: ProcessGroup) -> list[int]:
    """Where the ranges that begin at `keys` begin in `run`, and where the last ends."""
    if not keys.shape[1]:  # no process has n-grams of this order
        return [0] * (group.world_size + 1)
    at, _ = locate(run.words_WN, keys)
    return [0, *at.tolist(), len(run)]


def _merge_all(runs: Iterable[SortedRun]) -> SortedRun:
    """One run of many, by pairs, so that every key is copied about log2(runs) times."""
    left = list(runs)
    while len(left) > 1:
        left = [
            merge_runs(*left[i : i + 2]) if i + 1 < len(left) else left[i] for i in range(0, len(left), 2)
        ]
    return left[0]
