"""Promises of the predictor: what it says depends on the prefix alone, sums to one, and is the same in parallel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from regrow.core.config.schema import MixerConfig, ModelConfig
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.predict.lockstep import IGNORED, split_streams, stream_count
from regrow.predict.mixture import Mixture
from regrow.predict.predictor import Predictor

VOCAB, BOS, WINDOW = 40, 1, 8


@dataclass
class Parts:
    network: Transformer
    memory: NgramModel
    mixer: Mixer

    def predictor(self, streams: int, *, with_memory: bool = True) -> Predictor:
        memory = self.memory if with_memory else None
        return Predictor(
            Mixture(self.network, BOS, memory, self.mixer, 1), streams=streams, dtype=torch.float32
        )


@pytest.fixture(scope="module")
def parts() -> Parts:
    config = ModelConfig(
        n_layer=2, d_model=64, n_head=2, n_kv_head=2, rope_dims=8, r=4, seeded="all", window=WINDOW
    )
    network = Transformer(config, VOCAB, 16, seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    mixer = Mixer(MixerConfig(kind="gate"), generator)
    with torch.no_grad():
        mixer.gate_out.normal_(generator=generator)
    tokens = np.random.Generator(np.random.PCG64(2)).integers(2, VOCAB, 3000)
    tokens[::300] = BOS
    counts = NgramCounts(VOCAB, 4, bos_id=BOS)
    counts.add(tokens.astype(np.uint16))
    return Parts(network, NgramModel.from_counts(counts), mixer)


def stepwise(predictor: Predictor, tokens_ST: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log probabilities [T, S, V], one step at a time."""
    rows = []
    for tokens_S in tokens_ST.T:
        rows.append(predictor.predict().numpy())
        predictor.update(tokens_S)
    return np.stack(rows)


texts = st.integers(1, 3).flatmap(
    lambda chunks: st.lists(
        st.integers(2, VOCAB - 1), min_size=2 * WINDOW * chunks, max_size=2 * WINDOW * chunks
    )
)


@settings(max_examples=15)
@given(texts, st.booleans())
def test_scoring_in_parallel_agrees_with_predicting_step_by_step(
    parts: Parts, text: list[int], with_memory: bool
) -> None:
    tokens_ST = np.array(text, np.int64).reshape(2, -1)
    log_probs = stepwise(parts.predictor(2, with_memory=with_memory), tokens_ST)
    expected = -np.take_along_axis(log_probs, tokens_ST.T[:, :, None], 2)[:, :, 0].T
    scorer = parts.predictor(2, with_memory=with_memory)
    chunks = [scorer.score(tokens_ST[:, at : at + WINDOW]) for at in range(0, tokens_ST.shape[1], WINDOW)]
    np.testing.assert_allclose(np.concatenate([c.mixture_ST for c in chunks], 1), expected, atol=2e-4)


@settings(max_examples=15)
@given(st.integers(0, 2 * WINDOW - 1), st.integers(2, VOCAB - 1))
def test_a_changed_token_moves_no_distribution_before_it_by_a_single_bit(
    parts: Parts, place: int, token: int
) -> None:
    tokens_ST = np.random.Generator(np.random.PCG64(4)).integers(2, VOCAB, (2, 2 * WINDOW))
    changed_ST = tokens_ST.copy()
    changed_ST[0, place] = token
    before, after = (stepwise(parts.predictor(2), t) for t in (tokens_ST, changed_ST))
    assert np.array_equal(before[: place + 1], after[: place + 1])
    assert np.array_equal(before[:, 1], after[:, 1])  # the neighbour stream never moves


def test_rows_sum_to_one_and_predicting_twice_changes_nothing(parts: Parts) -> None:
    predictor = parts.predictor(3)
    for step in range(2 * WINDOW):
        first, second = predictor.predict(), predictor.predict()
        assert torch.equal(first, second)
        assert float((first.exp().sum(-1) - 1).abs().max()) < 1e-12
        predictor.update(np.full(3, 2 + step, np.int64))


def test_unknown_tokens_and_wrong_shapes_are_refused(parts: Parts) -> None:
    predictor = parts.predictor(2)
    for wrong in (np.array([1, VOCAB]), np.array([-1, 2]), np.array([2])):
        with pytest.raises(ValueError, match="update needs"):
            predictor.update(wrong.astype(np.int64))


@given(st.integers(0, 700), st.integers(1, 9), st.integers(1, 5))
def test_streams_hold_every_token_once_in_order(tokens: int, streams: int, multiple: int) -> None:
    split = split_streams(np.arange(tokens), streams, multiple)
    assert np.array_equal(split[split != IGNORED], np.arange(tokens))
    assert split.shape[0] == streams and split.shape[1] % multiple == 0
    assert 1 <= stream_count(tokens, streams) <= streams
