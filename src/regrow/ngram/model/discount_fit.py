"""Discounts fitted to text that was left out of the counts, documents at a time.

Kneser and Ney's estimate leaves out one occurrence at a time, and a word that a document holds once it tends to hold
again: of text of another document it promises too much. Here the discounts of orders 2 and up, by count (1, 2, 3, 4,
and 5 or more), minimise the cost of left-out documents under the model itself (held-out estimation, Jelinek and Mercer
1980, of Chen and Goodman's parameters), with exact gradients through the interpolation.

Legend: S sampled positions, O orders 2 .. max_order, K discounts of an order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.core.jit import F64x2, F64x3, I32x2, I64x1, kernel
from regrow.core.machine import cores
from regrow.ngram.contexts import contexts_at
from regrow.ngram.counts.ngram_counts import NgramCounts, Tokens
from regrow.ngram.model.backoff_trie import Trie, find_token
from regrow.ngram.model.kneser_ney import Discounts, estimate

KINDS = 5
POSITIONS = 60_000  # left-out tokens that discounts are fitted to
_STEPS = 120
_RATE = 0.15
_START = (0.9, 0.7, 0.6, 0.5, 0.4)  # share of each count that is taken, where the fit begins
_CHUNK = 8192
_DECIMALS = 4  # a stored discount is short, and more would be noise


@dataclasses.dataclass(frozen=True)
class Sample:
    """The counts of each of some positions: float64, in units of the context's total.

    `own_SO`: the token's count; `unit_SO`: one occurrence; `kind_SO`: which discount it pays (0: none, its count is 0);
    `share_SOK`: how many of the context's successors pay each; `seen_SO`: whether the context was seen; `base_S`:
    the token's probability under the unigrams.
    """

    own_SO: NDArray[np.float64]
    unit_SO: NDArray[np.float64]
    kind_SO: NDArray[np.int64]
    share_SOK: NDArray[np.float64]
    seen_SO: NDArray[np.bool_]
    base_S: NDArray[np.float64]

    @classmethod
    def joined(cls, samples: Sequence[Sample]) -> Sample:
        """Positions of several texts."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(one, name) for one in samples]) for name in names})

    def through(self, discounts_OK: NDArray[np.float64]) -> Interpolation:
        """Each position's token through the interpolation, from the unigrams up."""
        size, orders = self.own_SO.shape
        probs_SO1 = np.empty((size, orders + 1))
        gammas_SO, masses_SO = np.empty((2, size, orders))
        probs_SO1[:, 0] = self.base_S
        for o in range(orders):
            d, seen_S = discounts_OK[o], self.seen_SO[:, o]
            gammas_SO[:, o] = np.where(seen_S, self.share_SOK[:, o] @ d, 1.0)
            masses_SO[:, o] = self.own_SO[:, o] - np.append(0.0, d)[self.kind_SO[:, o]] * self.unit_SO[:, o]
            probs_SO1[:, o + 1] = masses_SO[:, o] + gammas_SO[:, o] * probs_SO1[:, o]
        return Interpolation(probs_SO1, gammas_SO, masses_SO)


@dataclasses.dataclass(frozen=True)
class Interpolation:
    """Of a sample's tokens: `probs_SO1`, the probability up to each order, that of the unigrams first; `gammas_SO`,
    what each order leaves to those below, 1 where its context was not seen; `masses_SO`, the token's own share."""

    probs_SO1: NDArray[np.float64]
    gammas_SO: NDArray[np.float64]
    masses_SO: NDArray[np.float64]


def tune_discounts(
    counts: NgramCounts, text: Tokens, *, seed: int, positions: int = POSITIONS, threads: int | None = None
) -> list[Discounts]:
    """Discounts for `NgramModel.from_counts`, fitted to `text`, which `counts` must not hold.

    Args:
        counts: counts of other documents of the same kind.
        text: integer [T], documents that begin with BOS.
        seed: of the choice of positions.
        positions: positions of `text` to fit to, drawn at random where it has more.

    Raises:
        NgramError: `text` predicts no token.
    """
    return tune_on_folds([(counts, text)], seed=seed, positions=positions, threads=threads)


def tune_on_folds(
    folds: Iterable[tuple[NgramCounts, Tokens]],
    *,
    seed: int,
    positions: int = POSITIONS,
    threads: int | None = None,
) -> list[Discounts]:
    """The same of texts left out in turn, each with the counts of all else: of the first ones that have so many
    positions together, for those of one short text say little of a dozen orders' counts.

    Raises NgramError if they predict no token.
    """
    samples: list[Sample] = []
    of_unigrams: Discounts = ()
    for counts, text in folds:
        text = np.asarray(text)
        predicted = np.flatnonzero(text != counts.bos_id)
        if len(predicted) > positions:
            generator = np.random.Generator(np.random.PCG64(seed))
            predicted = predicted[np.sort(generator.choice(len(predicted), positions, replace=False))]
        if not len(predicted):
            continue
        sample, own = sample_of(counts, text, predicted, threads=threads)
        of_unigrams = of_unigrams if samples else own
        samples.append(sample)
        positions -= len(predicted)
        if not positions:
            break
    if not samples:
        raise NgramError("there is no text to fit discounts to; leave out at least one document")
    fitted = _fit(samples[0] if len(samples) == 1 else Sample.joined(samples))
    return [of_unigrams, *(tuple(row) for row in fitted.round(_DECIMALS).tolist())]


def sample_of(
    counts: NgramCounts, text: Tokens, at_S: NDArray[np.int64], *, threads: int | None = None
) -> tuple[Sample, Discounts]:
    """The counts of the tokens at some positions of `text`, and the discounts of the unigrams beneath."""
    # With every discount 1 the trie still has all counts: mass (c - 1) / total, and what is left, n / total.
    trie, unigram_V, known, _ = estimate(counts, threads or cores(), [(), *[(1.0,)] * (counts.max_order - 1)])
    return _sample(trie, unigram_V, np.asarray(text), at_S, counts.bos_id), known[0]


def _sample(
    trie: Trie, unigram_V: NDArray[np.float64], text: Tokens, at_S: NDArray[np.int64], bos_id: int
) -> Sample:
    orders, size = trie.max_order - 1, len(at_S)
    own, unit = np.zeros((size, orders)), np.zeros((size, orders))
    kinds = np.zeros((size, orders, KINDS))
    for begin in range(0, size, _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        contexts = contexts_at(text, at_S[rows], orders, bos_id)
        _counts_at(contexts, text[at_S[rows]].astype(np.int64), trie, own[rows], unit[rows], kinds[rows])
    kind = np.minimum(np.rint(own), KINDS).astype(np.int64)
    return Sample(own * unit, unit, kind, kinds * unit[:, :, None], unit > 0, unigram_V[text[at_S]])


def _fit(sample: Sample) -> NDArray[np.float64]:
    """Discounts [O, K]: Adam (Kingma and Ba 2015) on the log odds of the share of each count that is taken."""
    count_K = np.arange(1, KINDS + 1)
    logit_OK = np.tile(np.log(np.array(_START) / (1 - np.array(_START))), (sample.own_SO.shape[1], 1))
    mean, square = np.zeros_like(logit_OK), np.zeros_like(logit_OK)
    for step in range(1, _STEPS + 1):
        share = 1 / (1 + np.exp(-logit_OK))
        slope = _gradient(sample, share * count_K) * count_K * share * (1 - share)
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        logit_OK -= _RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-12)
        np.clip(logit_OK, -5, 5, out=logit_OK)
    fitted: NDArray[np.float64] = count_K / (1 + np.exp(-logit_OK))
    return fitted


def _gradient(sample: Sample, discounts_OK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the mean cost in nats, by discount [O, K]."""
    size, orders = sample.own_SO.shape
    passed = sample.through(discounts_OK)
    weight = -1 / (passed.probs_SO1[:, -1] * size)
    slope = np.empty_like(discounts_OK)
    for o in range(orders - 1, -1, -1):
        by_share = (weight * passed.probs_SO1[:, o]) @ sample.share_SOK[:, o]
        paid = np.bincount(sample.kind_SO[:, o], weight * sample.unit_SO[:, o], KINDS + 1)[1:]
        slope[o] = by_share - paid
        weight = weight * passed.gammas_SO[:, o]
    return slope


@kernel
def _counts_at(contexts: I32x2, gold: I64x1, trie: Trie, own: F64x2, unit: F64x2, kinds: F64x3) -> None:
    child_start, child_token, gamma = trie.child_start_P1, trie.child_token_M, trie.gamma_M
    succ_start, succ_token, succ_mass = trie.succ_start_M1, trie.succ_token_E, trie.succ_mass_E
    width = contexts.shape[1]
    for r in range(len(contexts)):
        node = np.int64(-1)
        for o in range(width):
            wanted = contexts[r, width - 1 - o]
            if wanted < 0:
                break
            if o == 0:
                node = np.int64(wanted)
                if succ_start[node] == succ_start[node + 1]:
                    break
            else:
                node = find_token(child_start, child_token, node, wanted)
                if node < 0:
                    break
            first, last = succ_start[node], succ_start[node + 1]
            total = (last - first) / np.float64(gamma[node])
            unit[r, o] = 1 / total
            for e in range(first, last):
                count = np.rint(succ_mass[e] * total) + 1
                kinds[r, o, int(min(count, KINDS)) - 1] += 1
                if succ_token[e] == gold[r]:
                    own[r, o] = count
