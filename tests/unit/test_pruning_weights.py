"""The pruning weight of an n-gram beside a network: its exponent, down to nothing where the mixture knows already."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regrow.core.config.schema import MixerConfig, ModelConfig
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.discount_fit import KINDS, sample_of
from regrow.ngram.model.ngram_model import NgramModel
from regrow.training.batches import Part
from regrow.training.pruning_weights import mixture_of, shares

VOCAB, ORDER = 30, 4


def text(seed: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tokens = np.minimum(rng.geometric(0.2, size) + 1, VOCAB - 1).astype(np.uint16)
    tokens[size // 2 :] = tokens[: size - size // 2]
    tokens[0] = 1
    return tokens


UNEVEN = (0.9, 1.3, 1.6, 2.0, 2.2)


@pytest.fixture(scope="module")
def sampled():
    counts = NgramCounts(VOCAB, ORDER, bos_id=1)
    counts.add(text(1, 20_000))
    left_out = text(2, 4000)
    at = np.arange(1, 4000)
    sample, of_unigrams = sample_of(counts, left_out, at)
    return (
        counts,
        [of_unigrams, *[UNEVEN] * (ORDER - 1)],
        left_out,
        at,
        sample,
        np.array([UNEVEN] * (ORDER - 1)),
    )


def test_a_sample_s_probabilities_are_the_model_s(sampled) -> None:
    """The recursion over orders ends at what the model says of the same tokens, by discounts that differ by count."""
    counts, given, left_out, at, sample, discounts = sampled
    rows = NgramModel.from_counts(counts, discounts=given).probs(contexts_of(left_out, ORDER - 1, 1)[at])
    want = rows[np.arange(len(at)), left_out[at]]
    np.testing.assert_allclose(sample.through(discounts).probs_SO1[:, -1], want, rtol=1e-5)
    assert {1, 2, 3, KINDS} <= set(np.unique(sample.kind_SO).tolist())


def test_the_mixture_s_rows_are_the_sampled_positions(sampled) -> None:
    """With a mixer that listens to the memory alone, its probabilities are those that the sample's recursion gives."""
    counts, given, left_out, _, _, discounts = sampled
    part = Part(left_out, 64, 1)
    network = Transformer(
        ModelConfig(n_layer=1, d_model=64, n_head=2, n_kv_head=1, r=4, window=32), VOCAB, 64, seed=1
    )
    mixer = Mixer(MixerConfig(kind="fixed"), torch.Generator().manual_seed(1))
    with torch.no_grad():
        mixer.exponents.copy_(torch.tensor([0.0, 1.0]))
    index = np.array([3, 0, 40])
    model = NgramModel.from_counts(counts, discounts=given)
    mixed, exponents = mixture_of(network, mixer, model, part, index)
    at = (index[:, None] * 64 + np.arange(64)).reshape(-1)
    at = at[part.tokens[at] != 1]
    sample, _ = sample_of(counts, part.tokens, at)
    np.testing.assert_allclose(mixed, sample.through(discounts).probs_SO1[:, -1], rtol=1e-4)
    assert (exponents == 1).all()


def test_a_mixture_that_does_not_use_the_memory_leaves_weights_as_they_are(sampled) -> None:
    *_, sample, discounts = sampled
    size = len(sample.base_S)
    assert (shares(sample, discounts, np.full(size, 0.3), np.full(size, -0.2)) == 1).all()


@pytest.mark.parametrize(("mixed", "lower", "upper"), [(0.0, 0.6, 0.6), (0.9999, 0.0, 0.01)])
def test_weights_beside_a_network_that_knows_nothing_or_all_but_everything(
    sampled, mixed, lower, upper
) -> None:
    """Nothing: the memory's exponent is left of it. Everything: next to nothing is."""
    *_, sample, discounts = sampled
    size = len(sample.base_S)
    found = shares(sample, discounts, np.full(size, mixed), np.full(size, 0.6))
    assert (lower - 1e-9 <= found).all() and (found <= upper + 1e-9).all()


def test_weights_fall_as_the_mixture_knows_more(sampled) -> None:
    *_, sample, discounts = sampled
    size = len(sample.base_S)
    falling = [shares(sample, discounts, np.full(size, p), np.ones(size)) for p in (0.1, 0.5, 0.9)]
    assert (falling[0] > falling[1]).all() and (falling[1] > falling[2]).all()
