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

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.jit import compile_kernel
from regrow.ngram.counts.hashed_counts import MULTIPLIERS, HashedCounts
from regrow.ngram.model.rows import Floats, NgramRows

LEAST_COUNT = 2
MOST_TRUST = 0.95
FLOOR = 1e-10
_ROWS_A_THREAD = 512

_SIGNATURE = (
    "void(int32[:,::1], float32[:,::1], uint16[::1], int64[::1], int64[::1], int64[::1], float64[::1], float64[::1], "
    "float64[:,::1], int32[:,::1], float64[::1], int64, int64)"
)


def _scores(
    contexts_RC: Any,
    base_BV: Any,
    tables_N: Any,
    offset_O: Any,
    size_O: Any,
    multiplier_K: Any,
    trust_c: Any,
    share_c: Any,
    scores_RV: Any,
    facts_R3: Any,
    rest_R: Any,
    start: int,
    stop: int,
) -> None:
    """Published scores of every token after contexts start..stop, each row by itself in a fixed order."""
    width = contexts_RC.shape[1]
    vocab = scores_RV.shape[1]
    for r in range(start, stop):
        row = r if base_BV.shape[0] > 1 else 0
        rest = 0.0
        for v in range(vocab):
            scores_RV[r, v] = -1.0
        facts_R3[r, 0], facts_R3[r, 1], facts_R3[r, 2] = 1, 0, 0
        for o in range(len(size_O) - 1, -1, -1):
            back = o + 1  # context tokens of order o + 2
            if back > width or contexts_RC[r, width - back] < 0:
                continue
            h = np.int64(0)
            for k in range(back):
                h = (h * multiplier_K[k % 7] + np.int64(contexts_RC[r, width - back + k])) & np.int64(
                    0xFFFFFFFF
                )
            # The last step of the hash adds the token, so tokens in their order have buckets in theirs.
            h = (h * multiplier_K[back % 7]) & np.int64(0xFFFFFFFF)
            bucket = h % size_O[o]
            distinct = 0
            total = np.int64(0)
            for v in range(vocab):
                c = tables_N[offset_O[o] + bucket]
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
            if distinct > 0 and facts_R3[r, 0] == 1:
                facts_R3[r, 0] = o + 2
                facts_R3[r, 1] = min(total, np.int64(2147483647))
                facts_R3[r, 2] = distinct
        for v in range(vocab):
            if scores_RV[r, v] < 0:
                scores_RV[r, v] = base_BV[row, v]
                rest += base_BV[row, v]
        rest_R[r] = rest


@functools.cache
def _scores_kernel() -> Callable[..., None]:
    return compile_kernel(_scores, _SIGNATURE)


class HashedModel:
    """The published cache as something to ask: `published_scores` (not probabilities), and `rows`, distributions.

    Its counts are the stored ones, clipped to 16 bits, so training and a loaded artifact see the same.
    """

    def __init__(self, counts: HashedCounts) -> None:
        self.vocab_size, self.max_order = counts.vocab_size, counts.max_order
        self.tables_N = counts.clipped()
        self.size_O, self.offset_O = counts.size_O, counts.offset_O
        c = np.arange(65536, dtype=np.float64)
        self._trust_c = np.minimum(MOST_TRUST, np.log1p(c) / 10)
        self._share_c = c / (c + counts.vocab_size)
        self._uniform_1V = np.full((1, counts.vocab_size), 1 / counts.vocab_size, np.float32)

    @classmethod
    def from_counts(cls, counts: HashedCounts) -> HashedModel:
        """The model of these counts."""
        return cls(counts)

    @property
    def nbytes(self) -> int:
        return self.tables_N.nbytes

    def published_scores(
        self,
        contexts_RC: NDArray[np.integer[Any]],
        base_BV: NDArray[np.floating[Any]] | None = None,
        *,
        threads: int | None = None,
    ) -> NDArray[np.float64]:
        """float64 [R, V]: the published score of every token after each context.

        *Not probabilities*: a row sums to its Z.

        Args:
            contexts_RC: integer [R, C], as `NgramModel.rows` takes them; an order whose context reaches left of the
                stream's or document's start (-1) is passed over.
            base_BV: [R, V] or [1, V], the distributions q that the network has in the published design (None: uniform).
            threads: threads to split the rows over (None: one a core).

        Raises:
            NgramError: contexts or a base of the wrong shape, or a token outside the vocabulary.
        """
        return self._scores(contexts_RC, base_BV, threads)[0]

    def rows(
        self, contexts_RC: NDArray[np.integer[Any]], out: Floats | None = None, *, threads: int | None = None
    ) -> NgramRows:
        """Honest distributions after each context: published scores over a uniform q, divided by their sum Z.

        `matched_order_R`: the longest order at which any token's bucket holds 2 or more; `context_total_R`,
        `distinct_R`: sum and number of such buckets there (collisions included); `escape_R`: the part of the
        distribution that comes from q. All follow from the context alone. Raises NgramError as `published_scores`.
        """
        scores_RV, facts_R3, rest_R = self._scores(contexts_RC, None, threads)
        z_R1 = scores_RV.sum(axis=1, keepdims=True)
        if out is None:
            out = np.empty(scores_RV.shape, np.float32)
        elif out.shape != scores_RV.shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise NgramError(
                f"out is {out.dtype} of shape {out.shape}; give contiguous float32 {scores_RV.shape}"
            )
        np.divide(scores_RV, z_R1, out=out, casting="same_kind")
        escape = (rest_R / z_R1[:, 0]).astype(np.float32)
        return NgramRows(out, facts_R3[:, 0], facts_R3[:, 1], facts_R3[:, 2], escape)

    def probs(
        self, contexts_RC: NDArray[np.integer[Any]], out: Floats | None = None, *, threads: int | None = None
    ) -> Floats:
        """float32 [R, V]: the honest distribution after each context; see `rows`."""
        return self.rows(contexts_RC, out, threads=threads).probs_RV

    def _scores(
        self,
        contexts_RC: NDArray[np.integer[Any]],
        base_BV: NDArray[np.floating[Any]] | None,
        threads: int | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
        contexts = np.asarray(contexts_RC)
        if contexts.ndim != 2 or not np.issubdtype(contexts.dtype, np.integer):
            raise NgramError(
                f"contexts are {contexts.dtype} of shape {contexts.shape}; give integers [rows, tokens]"
            )
        if contexts.size and int(contexts.max()) >= self.vocab_size:
            raise NgramError(
                f"a context holds token {int(contexts.max())} but the vocabulary has {self.vocab_size}; "
                "use this memory's own tokenizer"
            )
        rows = len(contexts)
        base = self._uniform_1V if base_BV is None else np.ascontiguousarray(base_BV, np.float32)
        if base.ndim != 2 or base.shape[1] != self.vocab_size or len(base) not in (1, rows):
            raise NgramError(f"base is of shape {base.shape}; give [1 or {rows}, {self.vocab_size}]")
        narrow = np.array(contexts, np.int32, order="C")  # a copy: the kernel takes writeable arrays only
        base = base if base.flags.writeable else base.copy()
        scores = np.empty((rows, self.vocab_size), np.float64)
        facts = np.empty((rows, 3), np.int32)
        rest = np.empty(rows, np.float64)
        kernel = _scores_kernel()

        def work(span: tuple[int, int]) -> None:
            kernel(
                narrow, base, self.tables_N, self.offset_O, self.size_O, np.array(MULTIPLIERS, np.int64),
                self._trust_c, self._share_c, scores, facts, rest, *span,
            )  # fmt: skip

        parts = max(1, min(threads or os.cpu_count() or 1, rows // _ROWS_A_THREAD))
        edges = [rows * i // parts for i in range(parts + 1)]
        if parts == 1:
            work((0, rows))
        else:
            with ThreadPoolExecutor(parts) as pool:
                list(pool.map(work, itertools.pairwise(edges)))
        return scores, facts, rest
