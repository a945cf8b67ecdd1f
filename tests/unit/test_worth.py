"""What an n-gram is worth beside a network: its exponent, down to nothing where the mixture knows already."""

from __future__ import annotations

import numpy as np
import pytest

from regrow.ngram import NgramCounts, NgramModel, contexts_of
from regrow.ngram.tuning import KINDS, sample_of
from regrow.worth import shares

VOCAB, ORDER = 30, 4


def text(seed: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tokens = np.minimum(rng.geometric(0.2, size) + 1, VOCAB - 1).astype(np.uint16)
    tokens[size // 2 :] = tokens[: size - size // 2]
    tokens[0] = 1
    return tokens


@pytest.fixture(scope="module")
def sampled():
    counts = NgramCounts(VOCAB, ORDER, bos_id=1)
    counts.add(text(1, 20_000))
    left_out = text(2, 4000)
    at = np.arange(1, 4000)
    sample, known = sample_of(counts, left_out, at)
    discounts = np.array([(*d, *[d[-1]] * KINDS)[:KINDS] for d in known[1:]])
    return counts, known, left_out, at, sample, discounts


def test_a_sample_s_probabilities_are_the_model_s(sampled) -> None:
    """The recursion over orders ends at what the model says of the same tokens."""
    counts, known, left_out, at, sample, discounts = sampled
    rows = NgramModel.from_counts(counts, discounts=known).probs(contexts_of(left_out, ORDER - 1, 1)[at])
    want = rows[np.arange(len(at)), left_out[at]]
    np.testing.assert_allclose(sample.through(discounts).probs_SO1[:, -1], want, rtol=1e-5)


@pytest.mark.parametrize(("mixed", "expected"), [(0.0, 0.6), (1.0, 0.0)])
def test_worth_beside_a_network_that_knows_nothing_or_everything(sampled, mixed, expected) -> None:
    """Nothing: the memory's exponent is left of it. Everything: nothing is."""
    *_, sample, discounts = sampled
    size = len(sample.base_S)
    found = shares(sample, discounts, np.full(size, mixed), np.full(size, 0.6))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_worth_falls_as_the_mixture_knows_more(sampled) -> None:
    *_, sample, discounts = sampled
    size = len(sample.base_S)
    falling = [shares(sample, discounts, np.full(size, p), np.ones(size)) for p in (0.1, 0.5, 0.9)]
    assert (falling[0] > falling[1]).all() and (falling[1] > falling[2]).all()
