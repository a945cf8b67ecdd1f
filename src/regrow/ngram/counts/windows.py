"""Windows as the estimation reads them: key order, how far each is known, and what it shares with the one before."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import I64x1, Strided, U8x1, U16x1, kernel
from regrow.ngram.counts import keys as k
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.counts.runs import SortedRun


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of one range of a_1, by context and then by token.

    `words_WN`: keys of the longest order; `count_N` uint32; `token_N` uint16: the predicted token; `depth_N` uint8:
    context tokens known (a document's BOS is the last of them); `link_N` uint8: context tokens shared with the window
    before, at most the depth of either.
    """

    words_WN: k.U64
    count_N: NDArray[np.uint32]
    token_N: NDArray[np.uint16]
    depth_N: NDArray[np.uint8]
    link_N: NDArray[np.uint8]

    def of_depth(self, depth: int) -> NDArray[np.int32]:
        """Places of the windows known just so far: int32 [n]."""
        return np.flatnonzero(self.depth_N == depth).astype(np.int32)


def windows_of(runs: tuple[SortedRun, ...], counts: NgramCounts) -> Windows:
    """The windows of all orders in `runs` (orders 2 .. max_order), as one sequence."""
    top, bits = counts.max_order, counts.bits
    main = runs[-1]
    words, count = main.words_WN, main.counts_N
    known = np.full(len(main), top - 1, np.uint8)
    for run in runs[:-1]:
        if len(run):
            padded = _padded(run, top, counts.bos_id)
            words, count, known = _merged(
                bits,
                (words, count, known),
                (padded, run.counts_N, np.full(len(run), run.order - 1, np.uint8)),
            )
    size = len(count)
    token, depth, link = np.empty(size, np.uint16), known, np.empty(size, np.uint8)
    _describe(words, np.array(k.word_sizes(top, bits)), bits, counts.bos_id, token, depth, link)
    return Windows(words, count, token, depth, link)


def _padded(run: SortedRun, top: int, bos_id: int) -> k.U64:
    """Keys of order `top` for shorter windows: the tokens that are not known become BOS."""
    fields = np.full((len(run), top), bos_id, np.uint64)
    known = k.unpack(run.words_WN, run.order, run.bits)
    fields[:, : run.order - 1], fields[:, -1] = known[:, :-1], known[:, -1]
    return k.pack_fields(list(fields.T), run.bits)


_Keyed = tuple[k.U64, NDArray[np.uint32], NDArray[np.uint8]]


def _merged(bits: int, a: _Keyed, b: _Keyed) -> _Keyed:
    """Both, by context, then by how far they are known, then by token."""
    words = np.concatenate((a[0], b[0]), axis=1)
    count, known = np.concatenate((a[1], b[1])), np.concatenate((a[2], b[2]))
    mask = np.uint64((1 << bits) - 1)
    # np.lexsort sorts by its last key first.
    perm = np.lexsort((words[-1] & mask, known, words[-1] & ~mask, *words[-2::-1]))
    return np.take(words, perm, axis=1), count[perm], known[perm]


@kernel
def _describe(
    words: Strided, sizes: I64x1, bits: int, bos: int, token: U16x1, depth: U8x1, link: U8x1
) -> None:
    mask = np.uint64((1 << bits) - 1)
    last = words.shape[0] - 1
    for i in range(words.shape[1]):
        token[i] = words[last, i] & mask
        known = np.int64(depth[i])
        shared, age, alike = np.int64(0), np.int64(0), i > 0
        for v in range(last + 1):
            for place in range(sizes[v]):
                age += 1
                if age > known:
                    break
                shift = np.uint64(bits * (sizes[v] - 1 - place))
                here = (words[v, i] >> shift) & mask
                if alike:
                    if here == (words[v, i - 1] >> shift) & mask:
                        shared = age
                    else:
                        alike = False
                if here == bos:
                    known = np.int64(age)
        depth[i] = known
        if i > 0:
            shared = min(shared, known, np.int64(depth[i - 1]))
        link[i] = shared
