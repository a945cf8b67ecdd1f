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

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.dist import Bytes, ProcessGroup
from regrow.ngram import NgramCounts
from regrow.ngram import keys as k
from regrow.ngram.runs import Run, empty_run, merge_runs
from regrow.ngram.sorted_keys import locate

_SAMPLES = 256  # keys sampled a process and order for each range: ranges are even to about a sixteenth
_ESCAPE = 255  # a count of one byte that stands for a longer one

Tokens = NDArray[np.integer[Any]]


def piece_of(length: int, rank: int, world_size: int) -> slice:
    """The contiguous piece of `length` tokens that process `rank` counts; pieces differ by one token at most."""
    return slice(length * rank // world_size, length * (rank + 1) // world_size)


def count_piece(counts: NgramCounts, tokens: Tokens, group: ProcessGroup) -> None:
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
    runs = [counts.windows(n) for n in range(1, counts.max_order + 1)]
    starts = [
        _cut(run, keys, group) for run, keys in zip(runs, _cut_points(runs, counts, group), strict=True)
    ]
    outgoing = [
        pack_runs([run.slice(at[r], at[r + 1]) for run, at in zip(runs, starts, strict=True)])
        for r in range(group.world_size)
    ]
    incoming = [unpack_runs(part, counts) for part in group.exchange(outgoing)]
    merged = [_merge_all([parts[i] for parts in incoming]) for i in range(counts.max_order)]
    totals = group.sums([counts.total, *(counts.error_bound(n) for n in range(1, counts.max_order + 1))])
    return counts.of_windows(merged, int(totals[0]), [0, *map(int, totals[1:])], cap_bytes=0)


def whole_of(part: NgramCounts, group: ProcessGroup, *, cap_bytes: int = 0) -> NgramCounts:
    """The whole tables in every process, held under `cap_bytes`, from the ranges that `merge_range` left in each."""
    if group.world_size == 1:
        return part
    mine = pack_runs([part.windows(n) for n in range(1, part.max_order + 1)])
    ranges = [unpack_runs(piece, part) for piece in group.share(mine)]
    joined = [_end_to_end([runs[i] for runs in ranges]) for i in range(part.max_order)]
    bounds = [part.error_bound(n) for n in range(part.max_order + 1)]
    return part.of_windows(joined, part.total, bounds, cap_bytes=cap_bytes)


def merge_whole(counts: NgramCounts, group: ProcessGroup) -> NgramCounts:
    """The merged counts of all processes, in every process."""
    return whole_of(merge_range(counts, group), group, cap_bytes=counts.cap_bytes)


def pack_runs(runs: Sequence[Run]) -> Bytes:
    """One run an order as bytes: sizes, keys, large counts, small counts, filled up to a multiple of eight."""
    large = [run.counts_N[run.counts_N >= _ESCAPE] for run in runs]
    sizes = np.array([[len(run), len(big)] for run, big in zip(runs, large, strict=True)], np.int64)
    pieces: list[Bytes] = [sizes.reshape(-1).view(np.uint8)]
    pieces += [row.view(np.uint8) for run in runs for row in np.ascontiguousarray(run.words_WN)]
    pieces += [big.view(np.uint8) for big in large]
    pieces += [np.minimum(run.counts_N, _ESCAPE).astype(np.uint8) for run in runs]
    pieces.append(np.zeros(-sum(map(len, pieces)) % 8, np.uint8))
    return np.concatenate(pieces)


def unpack_runs(data: Bytes, like: NgramCounts) -> list[Run]:
    """The inverse of `pack_runs`, for counts of the vocabulary and order of `like`."""
    orders = range(1, like.max_order + 1)
    sizes: list[list[int]] = data[: 16 * like.max_order].view(np.int64).reshape(-1, 2).tolist()
    at = 16 * like.max_order
    words = []
    for n, (size, _) in zip(orders, sizes, strict=True):
        width = len(k.word_sizes(n, like.bits))
        words.append(data[at : at + 8 * width * size].view(np.uint64).reshape(width, size))
        at += 8 * width * size
    large = []
    for _, big in sizes:
        large.append(data[at : at + 4 * big].view(np.uint32))
        at += 4 * big
    runs = []
    for n, (size, _), keys, exact in zip(orders, sizes, words, large, strict=True):
        counts_N = data[at : at + size].astype(np.uint32)
        counts_N[counts_N == _ESCAPE] = exact
        runs.append(Run(n, like.bits, keys, counts_N))
        at += size
    return runs


def _cut_points(runs: list[Run], like: NgramCounts, group: ProcessGroup) -> list[k.U64]:
    """For each order the keys at which the ranges of processes 1, 2, ... begin, the same in every process."""
    sampled = []
    for run, size in zip(runs, group.sums([len(run) for run in runs]), strict=True):
        stride = max(1, int(size) // (_SAMPLES * group.world_size))
        words = run.words_WN[:, stride // 2 :: stride]
        sampled.append(Run(run.order, run.bits, words, np.zeros(words.shape[1], np.uint32)))
    pooled = [unpack_runs(data, like) for data in group.share(pack_runs(sampled))]
    result = []
    for i, run in enumerate(runs):
        words = np.hstack([samples[i].words_WN for samples in pooled])
        words = np.take(words, k.argsort_words(words, run.order, run.bits), axis=1)
        places = [words.shape[1] * r // group.world_size for r in range(1, group.world_size)]
        result.append(np.take(words, places, axis=1) if words.shape[1] else words)
    return result


def _cut(run: Run, keys: k.U64, group: ProcessGroup) -> list[int]:
    """Where the ranges that begin at `keys` begin in `run`, and where the last ends."""
    if not keys.shape[1]:  # no process has n-grams of this order
        return [0] * (group.world_size + 1)
    at, _ = locate(run.words_WN, keys)
    return [0, *at.tolist(), len(run)]


def _merge_all(runs: Iterable[Run]) -> Run:
    """One run of many, by pairs, so that every key is copied about log2(runs) times."""
    left = list(runs)
    while len(left) > 1:
        left = [
            merge_runs(*left[i : i + 2]) if i + 1 < len(left) else left[i] for i in range(0, len(left), 2)
        ]
    return left[0]


def _end_to_end(runs: list[Run]) -> Run:
    if not any(len(run) for run in runs):
        return empty_run(runs[0].order, runs[0].bits)
    words = np.hstack([run.words_WN for run in runs])
    return Run(runs[0].order, runs[0].bits, words, np.concatenate([run.counts_N for run in runs]))
