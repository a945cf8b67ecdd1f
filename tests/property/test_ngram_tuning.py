"""Fitted discounts: exact gradients, a lower cost on documents left out, and still a distribution."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.core.errors import NgramError
from regrow.ngram.contexts import contexts_at, contexts_of
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model import discount_fit as tuning
from regrow.ngram.model.discount_fit import tune_discounts, tune_on_folds
from regrow.ngram.model.kneser_ney import estimate
from regrow.ngram.model.ngram_model import NgramModel

BOS, VOCAB, ORDER = 1, 64, 4


def documents(first: int, many: int) -> list[np.ndarray]:
    """Documents of one source, each with words of its own that it repeats: what leave-one-out trusts too much."""
    source = np.random.default_rng(5)
    follows = source.integers(2, VOCAB, (VOCAB, 3))
    found = []
    for i in range(first, first + many):
        rng = np.random.default_rng(i)
        own = rng.integers(2, VOCAB, 12)
        tokens = [BOS]
        for _ in range(900):
            habit = rng.random()
            if habit < 0.3:
                tokens += [int(t) for t in own[3 * int(rng.integers(4)) :][:3]]
            else:
                tokens.append(
                    int(follows[tokens[-1], rng.integers(3)]) if habit < 0.8 else int(rng.integers(2, VOCAB))
                )
        found.append(np.array(tokens, np.uint16))
    return found


def counted(texts: list[np.ndarray]) -> NgramCounts:
    counts = NgramCounts(VOCAB, ORDER, bos_id=BOS)
    for text in texts:
        counts.add(text)
    return counts


def nats(model: NgramModel, text: np.ndarray) -> float:
    probs = model.probs(contexts_of(text, ORDER - 1, BOS))
    np.testing.assert_allclose(probs.sum(1, dtype=np.float64), 1, atol=1e-6)
    said = np.flatnonzero(text != BOS)
    return float(-np.log(probs[said, text[said]].astype(np.float64)).mean())


def test_fitted_discounts_cost_less_on_other_documents_than_estimated_ones() -> None:
    counts = counted(documents(0, 20))
    fitted = tune_discounts(counts, np.concatenate(documents(20, 6)), seed=1)
    unseen = np.concatenate(documents(30, 8))
    better = nats(NgramModel.from_counts(counts, discounts=fitted), unseen)
    assert better < nats(NgramModel.from_counts(counts), unseen) - 0.005


def test_the_sample_is_chosen_by_the_seed() -> None:
    counts, text = counted(documents(0, 8)), np.concatenate(documents(20, 3))
    one, again, other = (tune_discounts(counts, text, seed=seed, positions=300) for seed in (1, 1, 2))
    assert one == again != other


def test_several_texts_left_out_in_turn_are_fitted_to_together() -> None:
    """Of the second text what the first leaves of the positions; a third is not asked for."""
    texts = documents(0, 6)
    whole = counted(texts)

    def folds() -> Iterator[tuple[NgramCounts, np.ndarray]]:
        for text in texts[:2]:
            yield whole.subtract(counted([text])), text
        raise AssertionError("enough positions are there")

    size = len(texts[0]) - 1
    both = tune_on_folds(folds(), seed=1, positions=size + 100)
    first = tune_discounts(whole.subtract(counted([texts[0]])), texts[0], seed=1)
    assert both[0] == first[0] and both[1:] != first[1:]
    assert tune_on_folds(folds(), seed=1, positions=size) == first
    every = [(whole.subtract(counted([text])), text) for text in texts]
    unseen = np.concatenate(documents(30, 8))
    costs = [
        nats(NgramModel.from_counts(whole, discounts=tune_on_folds(part, seed=1)), unseen)
        for part in (every[:1], every)
    ]
    assert costs[1] < costs[0]


def test_the_slope_is_that_of_the_cost() -> None:
    counts, text = counted(documents(0, 6)), documents(20, 1)[0]
    trie, unigram, _, _ = estimate(counts, 1, [(), *[(1.0,)] * (ORDER - 1)])
    at = np.flatnonzero(text != BOS)
    sample = tuning._sample(trie, unigram, text, at, BOS)
    rng = np.random.default_rng(3)
    discounts = rng.uniform(0.2, 0.9, (ORDER - 1, tuning.KINDS)) * np.arange(1, tuning.KINDS + 1)

    def cost(d: np.ndarray) -> float:
        model = NgramModel.from_counts(counts, discounts=[(), *map(tuple, d.tolist())])
        probs = model.probs(contexts_of(text, ORDER - 1, BOS))
        return float(-np.log(probs[at, text[at]].astype(np.float64)).mean())

    slope = tuning._gradient(sample, discounts)
    for o, k in ((0, 0), (1, 4), (2, 1)):
        step = np.zeros_like(discounts)
        step[o, k] = 0.02
        measured = (cost(discounts + step) - cost(discounts - step)) / 0.04
        assert slope[o, k] == pytest.approx(measured, rel=0.03, abs=2e-5)


@pytest.mark.parametrize(
    ("discounts", "words"),
    [
        ([(0.5,)], "of 1 orders"),
        ([(), (0.5,), (0.0,), (0.5,)], "order 3"),
        ([(), (1.5,), (1.0,), (0.5,)], "order 2"),
    ],
)
def test_impossible_discounts_are_refused(discounts: list[tuple[float, ...]], words: str) -> None:
    with pytest.raises(NgramError, match=words):
        NgramModel.from_counts(counted(documents(0, 1)), discounts=discounts)


def test_nothing_left_out_is_refused() -> None:
    with pytest.raises(NgramError, match="leave out at least one document"):
        tune_discounts(counted(documents(0, 1)), np.array([BOS], np.uint16), seed=1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 9))
def test_contexts_of_single_positions_are_those_of_the_stream(tokens: list[int], width: int) -> None:
    """A position that is no BOS sees the same left of it, whichever way it is asked."""
    text = np.array(tokens, np.uint16)
    at = np.flatnonzero(text != BOS)
    np.testing.assert_array_equal(contexts_at(text, at, width, BOS), contexts_of(text, width, BOS)[at])
