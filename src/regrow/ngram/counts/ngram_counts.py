"""Exact n-gram counts that grow batch by batch, merge, subtract, and can be held under a memory cap."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.machine import cores
from regrow.ngram.contexts import check_ids, check_tokens
from regrow.ngram.counts import keys as k
from regrow.ngram.counts.runs import Counts, RunTree, SortedRun, count_run, merge_runs
from regrow.ngram.counts.sorted_keys import locate

if TYPE_CHECKING:
    from torch import Tensor

ORDER_LIMIT = 16
VOCAB_LIMIT = 65_536
_COUNT_LIMIT = 2**32 - 1
_BLOCK = 1 << 18
Tokens = NDArray[np.integer[Any]]


@dataclasses.dataclass(frozen=True)
class NgramTable:
    """The n-grams of one order. `words_WN`: ascending keys as in `regrow.ngram.counts.keys`; `counts_N`: uint32."""

    order: int
    words_WN: k.U64
    counts_N: Counts

    def grams(self, vocab_size: int) -> NDArray[np.int64]:
        """The tokens of each n-gram in reading order: int64 [N, order]."""
        fields = k.unpack(self.words_WN, self.order, k.token_bits(vocab_size)).astype(np.int64)
        return np.concatenate((fields[:, -2::-1], fields[:, -1:]), axis=1)


class NgramCounts:
    """Counts of orders 1..`max_order`.

    A token stream is a 1-D integer array in which `bos_id` stands at the head of each document. A context
    never reaches left of its document's BOS, BOS may be the oldest token of a context, and BOS is never
    predicted.

    Every predicted token is held once, under the longest window known for it: its `max_order - 1` previous
    tokens (left of a document's BOS the window is filled with BOS, which occurs nowhere else), or fewer where
    a stream starts in the middle of a document. All shorter n-grams are suffixes of these windows, so their
    counts are sums over them, and so are Kneser-Ney's continuation counts. That is one table to grow instead
    of `max_order`, and the lower orders cannot disagree with it.

    Keys are exact at every order and vocabulary (`regrow.ngram.counts.keys`): nothing is hashed, nothing collides.

    Memory cap. When the tables pass `cap_bytes`, windows counted at most t times are shortened by their
    oldest token and join the table one order below, longest order first, until three quarters of the cap are
    left; t starts at 1 and doubles when all orders have had their turn. An n-gram of order n so loses at most
    t each time the windows of order n are shortened, so `true - error_bound(n) <= counted <= true`; unigrams
    stay exact. Bounds add when counts merge. The cap holds between calls: within one call a merge needs up to
    twice as much for a moment.

    Args:
        vocab_size: number of token ids, 2..65536.
        max_order: longest n-gram, 1..16.
        cap_bytes: memory cap in bytes; 0 means none.
        bos_id: the token that heads each document.
        threads: threads for a large batch (None: one a core); the result does not depend on it.

    Raises:
        NgramError: a size out of range, here and, in `add`, `merge` and `subtract`, input that does not fit.
    """

    def __init__(
        self,
        vocab_size: int,
        max_order: int = 7,
        cap_bytes: int = 0,
        bos_id: int = 1,
        *,
        threads: int | None = None,
    ) -> None:
        if not 2 <= vocab_size <= VOCAB_LIMIT:
            raise NgramError(f"vocab_size is {vocab_size}; choose one from 2 to {VOCAB_LIMIT}")
        if not 1 <= max_order <= ORDER_LIMIT:
            raise NgramError(f"max_order is {max_order}; choose an order from 1 to {ORDER_LIMIT}")
        if not 0 <= bos_id < vocab_size:
            raise NgramError(
                f"bos_id {bos_id} is not one of the {vocab_size} token ids; name a token below that"
            )
        if cap_bytes < 0 or 0 < cap_bytes < 24 * vocab_size:
            raise NgramError(
                f"cap_bytes is {cap_bytes}, less than the unigrams take; give at least {24 * vocab_size}, "
                "or 0 for no cap"
            )
        self.vocab_size, self.max_order = vocab_size, max_order
        self.cap_bytes, self.bos_id = cap_bytes, bos_id
        self.bits = k.token_bits(vocab_size)
        self.threads = threads or cores()
        self._trees = [RunTree(n, self.bits) for n in range(max_order + 1)]
        self._bounds = [0] * (max_order + 1)
        self._total = 0

    @property
    def total(self) -> int:
        """Predicted tokens counted, BOS apart."""
        return self._total

    @property
    def nbytes(self) -> int:
        """Bytes held by the tables."""
        return sum(tree.nbytes for tree in self._trees)

    def error_bound(self, order: int) -> int:
        """How far below the truth a count of this order can be: 0 unless the memory cap was reached."""
        return self._bounds[order]

    def add(self, tokens: Tokens | Tensor, history: Tokens | None = None) -> None:
        """Counts a batch: one or several documents, whole or in part.

        Args:
            tokens: integer [T]; a torch tensor is packed and sorted on its own device.
            history: what stands before `tokens` in its document where the batch continues one; the last
                `max_order - 1` tokens are enough. They serve as context and are not counted again.
        """
        if not isinstance(tokens, np.ndarray):
            if hasattr(tokens, "device"):
                self._add_tensor(tokens, history)
                return
            tokens = np.asarray(tokens)
        tokens = check_tokens(tokens, self.vocab_size, "tokens")
        if not len(tokens):
            return
        fresh = int(np.count_nonzero(tokens != self.bos_id))
        self._count_fresh(fresh)
        span = self.max_order - 1
        before = tokens[:0] if history is None else check_tokens(history, self.vocab_size, "history")
        before = before[len(before) - min(len(before), span) :]
        words = np.empty((len(k.word_sizes(self.max_order, self.bits)), fresh), np.uint64)
        used = 0
        for start in range(0, len(tokens), _BLOCK):
            block = self._pack(tokens[start : start + _BLOCK], before)
            words[:, used : used + block.shape[1]] = block
            used += block.shape[1]
            before = tokens[max(0, start + _BLOCK - span) : start + _BLOCK]
        self._push(words[:, :used], self.max_order)
        self._enforce_cap()

    def _add_tensor(self, tokens: Tensor, history: Tokens | None) -> None:
        from regrow.ngram.counts.device import count_windows

        span = self.max_order - 1
        # The first tokens alone need the history, or may have none: the general path takes them.
        self.add(tokens[:span].cpu().numpy(), history)
        rest = tokens[span:].long()
        if not len(rest):
            return
        check_ids(int(rest.min()), int(rest.max()), self.vocab_size, "tokens")
        run = count_windows(rest, tokens[:span].long(), self.max_order, self.vocab_size, self.bos_id)
        self._count_fresh(int(run.counts_N.sum(dtype=np.int64)))
        self._trees[self.max_order].push(run)
        self._enforce_cap()

    def _count_fresh(self, fresh: int) -> None:
        if self._total + fresh > _COUNT_LIMIT:
            raise NgramError(
                f"more than {_COUNT_LIMIT} tokens were added; count the rest in another NgramCounts"
            )
        self._total += fresh

    def _pack(self, tokens: Tokens, before: Tokens) -> k.U64:
        """The windows of a block of tokens; those that start in the middle of a document are pushed at once."""
        joined = np.concatenate((before, tokens)).astype(np.uint64)
        counted = np.arange(len(joined)) >= len(before)
        heads = joined == self.bos_id
        if heads.any():
            # Widening each BOS to fill a window makes every window of the stream the right one, with no case
            # apart.
            repeats = np.where(heads, max(self.max_order - 1, 1), 1)
            joined, counted = np.repeat(joined, repeats), np.repeat(counted & ~heads, repeats)
        span = self.max_order - 1
        for end in np.flatnonzero(counted[:span]).tolist():
            self._push(k.pack_windows(joined[: end + 1], end + 1, self.bits), end + 1)
        if len(joined) <= span:
            return np.empty((len(k.word_sizes(self.max_order, self.bits)), 0), np.uint64)
        words, whole = k.pack_windows(joined, self.max_order, self.bits), counted[span:]
        return words if whole.all() else np.compress(whole, words, axis=1)

    def merge(self, other: NgramCounts) -> NgramCounts:
        """The counts of both. Exact, associative and commutative below the cap; error bounds add.

        The smaller of two caps holds for the result.
        """
        self._check_same(other, "merge")
        caps = [cap for cap in (self.cap_bytes, other.cap_bytes) if cap]
        runs = [merge_runs(self.windows(n), other.windows(n)) for n in range(1, self.max_order + 1)]
        bounds = [a + b for a, b in zip(self._bounds, other._bounds, strict=True)]
        return self.of_windows(runs, self._total + other._total, bounds, cap_bytes=min(caps, default=0))

    def of_windows(
        self, runs: Iterable[SortedRun], total: int, bounds: Sequence[int], *, cap_bytes: int
    ) -> NgramCounts:
        """Counts of this kind whose tables are `runs`, one for each order from 1."""
        if total > _COUNT_LIMIT:
            raise NgramError(f"together the counts pass {_COUNT_LIMIT} tokens; keep them apart")
        result = NgramCounts(self.vocab_size, self.max_order, cap_bytes, self.bos_id, threads=self.threads)
        result._total, result._bounds = total, list(bounds)
        for run in runs:
            result._trees[run.order].replace(run)
        result._enforce_cap()
        return result

    def subtract(self, other: NgramCounts) -> NgramCounts:
        """The counts without those of text that was added: the inverse of `merge`, for leaving documents out."""
        self._check_same(other, "subtract")
        if any(self._bounds) or any(other._bounds):
            raise NgramError(
                "counts that reached their memory cap cannot be subtracted; raise cap_bytes or set it to 0"
            )
        runs = []
        for n in range(1, self.max_order + 1):
            whole, part = self.windows(n), other.windows(n)
            at, found = locate(whole.words_WN, part.words_WN)
            if not found.all() or (whole.counts_N[at] < part.counts_N).any():
                raise NgramError(
                    "counts to subtract hold an n-gram that was not added here; subtract only text that was "
                    "counted, with the same document starts"
                )
            left = whole.counts_N.copy()
            left[at] -= part.counts_N
            runs.append(SortedRun(n, self.bits, whole.words_WN, left).select(left > 0))
        return self.of_windows(runs, self._total - other._total, self._bounds, cap_bytes=self.cap_bytes)

    def windows(self, order: int) -> SortedRun:
        """The windows held at one order: all of them at `max_order`, below it only those that are known no further."""
        return self._trees[order].compact()

    def tables(self) -> list[NgramTable]:
        """The n-grams of each order 1..max_order with their counts (a window's BOS filling is no n-gram)."""
        result = []
        longer = self.windows(self.max_order)
        for n in range(self.max_order, 0, -1):
            if n < self.max_order:
                longer = merge_runs(self.windows(n), longer.suffixes())
            real = longer.select(~self.filled(longer.words_WN, n)) if n > 2 else longer
            result.append(NgramTable(n, real.words_WN, real.counts_N))
        return result[::-1]

    def filled(self, words: k.U64, order: int) -> NDArray[np.bool_]:
        """Which windows are filled up left of their document's start."""
        if order < 3:
            return np.zeros(words.shape[1], bool)
        result: NDArray[np.bool_] = k.field(words, order, self.bits, order - 2) == self.bos_id
        return result

    def canonical_bytes(self) -> bytes:
        """Header, then each order's keys (most significant word first) and counts, all little-endian."""
        head = struct.pack("<4sIII", b"RgC1", self.vocab_size, self.max_order, self.bos_id)
        parts = [head, struct.pack(f"<{self.max_order}Q", *self._bounds[1:])]
        for n in range(1, self.max_order + 1):
            run = self.windows(n)
            parts += [struct.pack("<Q", len(run)), run.words_WN.astype("<u8").tobytes()]
            parts.append(run.counts_N.astype("<u4").tobytes())
        return b"".join(parts)

    def sha256(self) -> str:
        """SHA-256 of `canonical_bytes`: equal for equal text, however it was cut into batches and processes."""
        return hashlib.sha256(self.canonical_bytes()).hexdigest()

    def _push(self, words: k.U64, order: int) -> None:
        self._trees[order].push(count_run(order, self.bits, words, self.threads))

    def _enforce_cap(self) -> None:
        if not self.cap_bytes or self.nbytes <= self.cap_bytes:
            return
        goal, threshold = self.cap_bytes * 3 // 4, 1
        while any(self._trees[n].nbytes for n in range(2, self.max_order + 1)):
            for n in range(self.max_order, 1, -1):
                run = self.windows(n)
                rare = run.counts_N <= threshold
                if rare.any():
                    self._bounds[n] += threshold
                    self._trees[n].replace(run.select(~rare))
                    self._trees[n - 1].push(run.select(rare).suffixes())
                if self.nbytes <= goal:
                    return
            threshold *= 2

    def _check_same(self, other: NgramCounts, verb: str) -> None:
        for name in ("vocab_size", "max_order", "bos_id"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise NgramError(
                    f"cannot {verb} counts with {name} {theirs} and {mine}; count both with the same {name}"
                )
