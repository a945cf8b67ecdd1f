"""What the published hashed cache says of the next token: its score, which is no probability, and the honest form.

The published score of the token that came (parameter-golf 1095): in the highest order whose bucket for (context, token)
holds at least 2, with c that count and V the vocabulary size,

    score = a * c / (c + V) + (1 - a) * q(token),   a = min(0.95, ln(1 + c) / 10),   at least 1e-10

and q(token) where no order has such a bucket; q is the network's distribution. c / (c + V) is divided by nothing that
was counted for the context, and the bucket is found with the token in hand, so every token of the vocabulary gets such
a score whatever its rivals got. Their sum Z over the vocabulary is not 1 and grows towards 0.94 V as counts grow: the
score is *not a probability*, and nothing could be decoded with it. The honest form is score / Z, with Z taken over the
whole vocabulary before the token is known.

Legend: R rows (contexts), C context tokens, V vocabulary, O orders, N buckets of all orders.
"""

from __future__ import annotations

import decimal
import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.jit import F32x2, F64x1, F64x2, I32x2, I64x1, U16x1, kernel
from regrow.ngram.counts.hashed_counts import LARGEST_COUNT, MULTIPLIERS, HashedCounts
from regrow.ngram.model.masses import pairwise_sum
from regrow.ngram.model.rows import Contexts, Memory, NgramRows, in_threads

MAX_TRUST = 0.95


class _Tables(NamedTuple):
    """All orders' buckets, where each order's begin and how many they are; the constants of the hash; and by count the
    weight a and c / (c + V)."""

    count_N: U16x1
    offset_O: I64x1
    size_O: I64x1
    multiplier_K: I64x1
    trust_c: F64x1
    share_c: F64x1


@kernel
def _score(
    contexts_RC: I32x2, base_BV: F32x2, tables: _Tables, scores_RV: F64x2, rest_R: F64x1, rows: NgramRows,
    start: int, stop: int,
) -> None:  # fmt: skip
    """Published scores of every token after contexts start..stop, each row by itself in a fixed order."""
    count_N, offset_O, size_O = tables.count_N, tables.offset_O, tables.size_O
    multiplier_K, trust_c, share_c = tables.multiplier_K, tables.trust_c, tables.share_c
    matched_R, total_R, distinct_R = rows.matched_order_R, rows.context_total_R, rows.distinct_R
    width = contexts_RC.shape[1]
    vocab = scores_RV.shape[1]
    for r in range(start, stop):
        row = r if base_BV.shape[0] > 1 else 0
        rest = 0.0
        for v in range(vocab):
            scores_RV[r, v] = -1.0
        matched_R[r], total_R[r], distinct_R[r] = 1, 0, 0
        for o in range(len(size_O) - 1, -1, -1):
            back = o + 1  # context tokens of order o + 2
            if back > width or contexts_RC[r, width - back] < 0:
                continue
            h = np.int64(0)
            for k in range(back):
                token = np.int64(contexts_RC[r, width - back + k])
                h = (h * multiplier_K[k % 7] + token) & np.int64(0xFFFFFFFF)
            # The last step of the hash adds the token, so tokens in their order have buckets in theirs.
            h = (h * multiplier_K[back % 7]) & np.int64(0xFFFFFFFF)
            bucket = h % size_O[o]
            distinct = 0
            total = np.int64(0)
            for v in range(vocab):
                c = count_N[offset_O[o] + bucket]
                h += 1
                bucket += 1
                if h > np.int64(0xFFFFFFFF):
                    h = np.int64(0)
                    bucket = np.int64(0)
                if bucket == size_O[o]:
                    bucket = np.int64(0)
                if c < 2:
                    continue
                distinct += 1
                total += c
                if scores_RV[r, v] < 0:
                    left = (1.0 - trust_c[c]) * base_BV[row, v]
                    rest += left
                    scores_RV[r, v] = max(trust_c[c] * share_c[c] + left, 1e-10)
            if distinct > 0 and matched_R[r] == 1:
                matched_R[r] = o + 2
                total_R[r] = min(total, np.int64(2147483647))
                distinct_R[r] = distinct
        for v in range(vocab):
            if scores_RV[r, v] < 0:
                scores_RV[r, v] = base_BV[row, v]
                rest += base_BV[row, v]
        rest_R[r] = rest


@kernel
def _normalise(scores_RV: F64x2, rest_R: F64x1, rows: NgramRows) -> None:
    probs_RV, escape_R = rows.probs_RV, rows.escape_R
    for r in range(len(rest_R)):
        z = pairwise_sum(scores_RV[r])
        escape_R[r] = rest_R[r] / z
        for v in range(scores_RV.shape[1]):
            probs_RV[r, v] = scores_RV[r, v] / z


class HashedModel(Memory):
    """The published cache as something to ask: `published_scores` (not probabilities), and `rows`, distributions.

    `rows` are published scores over a uniform q, divided by their sum Z. `matched_order_R`: the longest order at which
    any token's bucket holds 2 or more; `context_total_R`, `distinct_R`: sum and number of such buckets there
    (collisions included); `escape_R`: the part of the distribution that comes from q. All follow from the context.

    Its counts are the stored ones, clipped to 16 bits, so training and a loaded artifact see the same.
    """

    def __init__(self, counts: HashedCounts) -> None:
        self.vocab_size, self.max_order = counts.vocab_size, counts.max_order
        self.tables_N, self.size_O = counts.clipped(), counts.size_O
        c = np.arange(LARGEST_COUNT + 1, dtype=np.float64)
        self._tables = _Tables(
            self.tables_N, counts.offset_O, self.size_O, np.array(MULTIPLIERS, np.int64), _trust(),
            c / (c + counts.vocab_size),
        )  # fmt: skip
        self._uniform_1V = np.full((1, counts.vocab_size), 1 / counts.vocab_size, np.float32)

    @property
    def nbytes(self) -> int:
        return self.tables_N.nbytes

    def published_scores(
        self, contexts_RC: NDArray[np.integer[Any]], base_BV: NDArray[np.floating[Any]] | None = None
    ) -> NDArray[np.float64]:
        """float64 [R, V]: the published score of every token after each context.

        *Not probabilities*: a row sums to its Z.

        Args:
            contexts_RC: integer [R, C], as `NgramModel.rows` takes them; an order whose context reaches left of the
                stream's or document's start (-1) is passed over.
            base_BV: [R, V] or [1, V], the distributions q that the network has in the published design (None: uniform).

        Raises:
            NgramError: contexts or a base of the wrong shape, or a token outside the vocabulary.
        """
        contexts = self._checked(contexts_RC)
        size = len(contexts)
        base = self._uniform_1V if base_BV is None else np.require(base_BV, np.float32, ("C", "W"))
        if base.ndim != 2 or base.shape[1] != self.vocab_size or len(base) not in (1, size):
            raise NgramError(f"base is of shape {base.shape}; give [1 or {size}, {self.vocab_size}]")
        unused = NgramRows.around(np.empty((0, 0), np.float32), size)
        return self._scores(contexts, base, unused, None)[0]

    def _fill(self, contexts_RC: Contexts, rows: NgramRows, threads: int | None) -> None:
        scores_RV, rest_R = self._scores(contexts_RC, self._uniform_1V, rows, threads)
        _normalise(scores_RV, rest_R, rows)

    def _scores(
        self, contexts_RC: Contexts, base_BV: NDArray[np.float32], rows: NgramRows, threads: int | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Published scores [R, V], and the part of each row's that comes from the base [R]; facts into `rows`."""
        size = len(contexts_RC)
        scores_RV, rest_R = np.empty((size, self.vocab_size)), np.empty(size)

        def work(start: int, stop: int) -> None:
            _score(contexts_RC, base_BV, self._tables, scores_RV, rest_R, rows, start, stop)

        in_threads(work, size, threads)
        return scores_RV, rest_R


@functools.cache
def _trust() -> NDArray[np.float64]:
    """a = min(0.95, ln(1 + c) / 10) by count, from correctly rounded logarithms: the same on every machine."""
    trust_c = np.full(LARGEST_COUNT + 1, MAX_TRUST)
    with decimal.localcontext() as context:
        context.prec = 30
        for c in range(LARGEST_COUNT + 1):
            a = float(decimal.Decimal(1 + c).ln()) / 10
            if a >= MAX_TRUST:
                break
            trust_c[c] = a
    return trust_c
