"""Promises of the adaptive predictor: prefix only, normalised, one function step by step and in parallel, bounded."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.vocabularies import pieces_of

from regrow.core.config.schema import EvalConfig, MixerConfig, ModelConfig
from regrow.core.errors import RegrowError
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.predict.adaptive.first_stage import StepInputs
from regrow.predict.adaptive.online_mixer import OnlineMixer
from regrow.predict.adaptive.predictor import Adaptation, AdaptivePredictor
from regrow.predict.adaptive.score_first import ScoreFirst
from regrow.predict.lockstep import IGNORED
from regrow.predict.mixture import Mixture
from regrow.predict.predictor import Predictor, ScoredChunk

VOCAB, BOS, WINDOW, STREAMS = 40, 1, 8, 2
CHUNK = 2 * WINDOW  # steps of one chunk of training


class Parts:
    def __init__(self) -> None:
        config = ModelConfig(
            n_layer=2, d_model=64, n_head=2, n_kv_head=2, rope_dims=8, r=4, seeded="all", window=WINDOW
        )
        self.network = Transformer(config, VOCAB, 16, seed=3)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in self.network.parameters():
                p.add_(0.3 * torch.randn(p.shape, generator=generator))
        self.mixer = Mixer(MixerConfig(kind="gate"), generator)
        tokens = np.random.Generator(np.random.PCG64(2)).integers(2, VOCAB, 3000)
        tokens[::300] = BOS
        counts = NgramCounts(VOCAB, 4, bos_id=BOS)
        counts.add(tokens.astype(np.uint16))
        self.memory: NgramModel | None = NgramModel.from_counts(counts)

    def predictor(
        self,
        *,
        chunks: int = 3,
        ttt: str = "adapters",
        orders: int = 3,
        streams: int = STREAMS,
        with_memory: bool = True,
    ) -> AdaptivePredictor:
        network = copy.deepcopy(self.network)
        memory = self.memory if with_memory else None
        base = Predictor(Mixture(network, BOS, memory, self.mixer, 1), streams=streams, dtype=torch.float32)
        setting = Adaptation(streams, orders, 1 << 12, ttt, CHUNK * streams, 1, "adamw", 0.01, 1.0)
        trainer = self.trainer(network, memory, chunks, ttt, streams) if ttt != "none" else None
        return AdaptivePredictor(base, pieces_of(VOCAB), setting, trainer)

    def trainer(
        self,
        network: Transformer,
        memory: NgramModel | None,
        chunks: int,
        ttt: str = "adapters",
        streams: int = STREAMS,
    ) -> ScoreFirst:
        mixture = Mixture(network, BOS, memory, self.mixer, 1)
        config = EvalConfig(ttt=ttt, ttt_rate=0.01)  # type: ignore[arg-type]
        return ScoreFirst(mixture, config, chunks=chunks, streams=streams, dtype=torch.float32)


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


def text(seed: int, steps: int, streams: int = STREAMS) -> NDArray[np.int64]:
    """Tokens [S, T] that repeat themselves, so that there is something to learn."""
    rng = np.random.Generator(np.random.PCG64(seed))
    phrase = rng.integers(2, VOCAB, 7)
    tokens = np.resize(phrase, (streams, steps))
    return np.where(rng.random(tokens.shape) < 0.3, rng.integers(2, VOCAB, tokens.shape), tokens)


def stepwise(predictor: AdaptivePredictor, tokens_ST: NDArray[np.int64]) -> NDArray[np.float64]:
    """Distributions [T, S, V], one step at a time."""
    rows = []
    for tokens_S in tokens_ST.T:
        rows.append(predictor.probabilities().copy())
        predictor.update(tokens_S)
    return np.stack(rows)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 3 * CHUNK - 1), st.integers(2, VOCAB - 1), st.sampled_from([1, 2]))
def test_a_changed_token_moves_no_distribution_before_it_by_a_single_bit(
    parts: Parts, place: int, token: int, streams: int
) -> None:
    tokens_ST = text(4, 3 * CHUNK, streams)
    changed_ST = tokens_ST.copy()
    changed_ST[0, place] = token if tokens_ST[0, place] != token else 2 + token % (VOCAB - 3)
    before, after = (stepwise(parts.predictor(streams=streams), t) for t in (tokens_ST, changed_ST))
    assert np.array_equal(before[: place + 1], after[: place + 1])
    # And it is learned: every later distribution of every stream may move, the next lock-step's do.
    if place + 1 < 3 * CHUNK and changed_ST[0, place] != tokens_ST[0, place]:
        assert not np.array_equal(before[place + 1], after[place + 1])


@pytest.mark.parametrize("with_memory", [True, False])
@pytest.mark.parametrize("ttt", ["none", "adapters", "all"])
def test_scoring_in_parallel_agrees_with_predicting_step_by_step(
    parts: Parts, ttt: str, with_memory: bool
) -> None:
    tokens_ST = text(5, 3 * CHUNK)
    probs = stepwise(parts.predictor(ttt=ttt, with_memory=with_memory), tokens_ST)
    expected = -np.log(np.take_along_axis(probs, tokens_ST.T[:, :, None], 2)[:, :, 0].T)
    scorer = parts.predictor(ttt=ttt, with_memory=with_memory)
    chunks = [scorer.score(tokens_ST[:, at : at + WINDOW]) for at in range(0, 3 * CHUNK, WINDOW)]
    adapted = np.concatenate([c.adapted_ST for c in chunks if c.adapted_ST is not None], 1)
    np.testing.assert_allclose(adapted, expected, atol=2e-3)


def test_rows_are_distributions_and_predicting_twice_changes_nothing(parts: Parts) -> None:
    predictor = parts.predictor()
    for tokens_S in text(6, 3 * CHUNK).T:
        first = predictor.probabilities().copy()
        assert np.array_equal(first, predictor.probabilities())
        assert np.array_equal(np.log(first), predictor.predict().numpy())
        assert first.min() > 0 and abs(first.sum(1) - 1).max() < 1e-12
        predictor.update(tokens_S)


def test_text_that_repeats_itself_becomes_cheaper_than_it_is_to_the_fixed_predictor(parts: Parts) -> None:
    tokens_ST = np.resize(np.random.Generator(np.random.PCG64(3)).integers(2, VOCAB, 9), (STREAMS, 6 * CHUNK))
    for ttt, orders in (("none", 3), ("adapters", 0)):
        scorer = parts.predictor(chunks=6, ttt=ttt, orders=orders)
        chunks = [scorer.score(tokens_ST[:, at : at + WINDOW]) for at in range(0, 6 * CHUNK, WINDOW)]
        late = chunks[-1].adapted_ST
        assert late is not None and late.mean() < 0.8 * chunks[0].mixture_ST.mean()


def test_streams_that_have_ended_teach_nothing(parts: Parts) -> None:
    one, other = parts.predictor(ttt="none"), parts.predictor(ttt="none")
    tokens_ST = text(7, CHUNK)
    for tokens_S in tokens_ST.T:
        for predictor, second in ((one, IGNORED), (other, IGNORED)):
            predictor.probabilities()
            predictor.advance(np.array([tokens_S[0], second]))
    alone = OnlineMixer(1, pieces_of(VOCAB), 3, 1 << 12)
    assert one._mixer.counts.tables.used_2.tolist() == other._mixer.counts.tables.used_2.tolist()
    flat = np.zeros((1, 1, VOCAB), np.float32)
    inputs = StepInputs(flat, flat, flat, np.zeros((1, 1), np.int32))
    for tokens_S in tokens_ST.T:
        alone.predict(inputs, 0)
        alone.learn(inputs, 0, tokens_S[:1])
    assert one._mixer.counts.tables.used_2.tolist() == alone.counts.tables.used_2.tolist()


@pytest.mark.parametrize("capacity", [1 << 12, 60])
def test_a_stretch_scored_at_once_has_the_bits_of_one_step_after_the_other(capacity: int) -> None:
    """Also where counts are forgotten on the way: the encoder goes step by step, evaluation in stretches."""
    rng = np.random.Generator(np.random.PCG64(4))
    steps, stretched = (OnlineMixer(STREAMS, pieces_of(VOCAB), 3, capacity) for _ in range(2))
    for at in range(3):
        mixed, network, memory = rng.normal(size=(3, STREAMS, CHUNK, VOCAB)).astype(np.float32)
        inputs = StepInputs(mixed, network, memory, rng.integers(0, 5, (STREAMS, CHUNK)).astype(np.int32))
        tokens_ST = text(at, CHUNK)
        tokens_ST[1, CHUNK // 2 :] = IGNORED if at == 2 else 3
        nats = []
        for t in range(CHUNK):
            steps.predict(inputs, t)
            nats.append(steps.learn(inputs, t, tokens_ST[:, t]))
        assert np.array_equal(np.stack(nats, axis=1), stretched.score(inputs, tokens_ST))
    assert steps.counts.tokens == stretched.counts.tokens < 3 * CHUNK or capacity > 60


def test_only_a_score_can_be_trained_on(parts: Parts) -> None:
    tokens_ST = text(8, CHUNK)
    nats = np.zeros(tokens_ST.shape)
    with pytest.raises(TypeError, match="predictor's score"):
        ScoredChunk(tokens_ST, nats, nats, None, None)
    network = copy.deepcopy(parts.network)
    trainer = parts.trainer(network, parts.memory, chunks=2)
    before = [p.clone() for p in trainer.parameters]
    with pytest.raises(TypeError, match="takes a ScoredChunk"):
        trainer.learn(tokens_ST)  # type: ignore[arg-type]
    assert all(torch.equal(p, q) for p, q in zip(before, trainer.parameters, strict=True))
    base = Predictor(
        Mixture(network, BOS, parts.memory, parts.mixer, 1), streams=STREAMS, dtype=torch.float32
    )
    trainer.learn(base.score(tokens_ST))
    assert not all(torch.equal(p, q) for p, q in zip(before, trainer.parameters, strict=True))
    # The last chunk is scored and never trained on.
    with pytest.raises(RuntimeError, match="nothing is left to score"):
        trainer.learn(base.score(text(9, CHUNK)))


def test_training_leaves_all_but_the_adapters_as_they_were(parts: Parts) -> None:
    network = copy.deepcopy(parts.network)
    trainer = parts.trainer(network, parts.memory, chunks=2)
    base = Predictor(
        Mixture(network, BOS, parts.memory, parts.mixer, 1), streams=STREAMS, dtype=torch.float32
    )
    trainer.learn(base.score(text(8, CHUNK)))
    moved = {
        name
        for (name, p), q in zip(network.named_parameters(), parts.network.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert moved and all("lora" in name for name in moved)


def test_a_score_that_would_pass_the_end_of_a_chunk_is_refused(parts: Parts) -> None:
    predictor = parts.predictor()
    predictor.score(text(1, WINDOW))
    with pytest.raises(RegrowError, match="past the end of the chunk"):
        predictor.score(text(1, CHUNK))
