"""Exact inference: a position has one row of frequencies, however it is computed, and it is near the float one."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.second_decoder import golden_artifact
from tests.second_decoder.golden_artifact import BOS, MODEL, V
from tests.vocabularies import pieces_of

from regrow.artifact.artifact import load_vector, load_weights, pack_vector, pack_weights
from regrow.artifact.container import FORMAT_VERSION
from regrow.core.config import schema
from regrow.core.config.schema import Config, MixerConfig, TrainConfig
from regrow.core.errors import ArtifactError
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.memory import Memory, model_of, new_counts
from regrow.predict.adaptive.online_mixer import OnlineMixer
from regrow.predict.codec import CHUNK
from regrow.predict.exact import intervals, product, rows
from regrow.predict.exact.adaptive import AdaptiveStreams
from regrow.predict.exact.model import ExactModel
from regrow.predict.exact.streams import Streams
from regrow.predict.mixture import Mixture
from regrow.predict.predictor import Predictor

CONFIGS = golden_artifact.CONFIGS | {
    "all seeded": Config(model=msgspec.structs.replace(MODEL, seeded="all", n_head=1, n_kv_head=1)),
    "fixed": Config(model=MODEL, mixer=MixerConfig(kind="fixed")),
    "memory alone": Config(
        model=msgspec.structs.replace(MODEL, n_layer=0, tied=False), mixer=MixerConfig(kind="fixed")
    ),
}
interval, find = numba.njit(intervals.interval), numba.njit(intervals.find)


@functools.cache
def parts(name: str) -> tuple[Config, Transformer, Memory | None, Mixer, ExactModel]:
    """An untrained artifact whose every number is random."""
    return made_of(name)


def made_of(
    name: str, *, in_one_entry: float = 1.0, version: int = FORMAT_VERSION
) -> tuple[Config, Transformer, Memory | None, Mixer, ExactModel]:
    """The same; `in_one_entry` makes one entry of every final state so much larger."""
    config = msgspec.structs.replace(CONFIGS[name], train=TrainConfig(seq_len=40))
    torch.manual_seed(3)
    network, mixer = (
        Transformer(config.model, V, 40, 5),
        Mixer(config.mixer, torch.Generator().manual_seed(1)),
    )
    with torch.no_grad():
        for key, p in [*network.named_parameters(), *mixer.named_parameters()]:
            p.add_(torch.randn_like(p) * (0.3 if key.endswith(("gain", "exponents")) else 0.1))
        if (
            in_one_entry != 1
        ):  # and the others' embeddings larger, as training does, so that they count all the same
            network.get_parameter("blocks.1.mlp_gain")[33] *= in_one_entry
            network.embedding[:, np.arange(MODEL.d_model) != 33] *= in_one_entry**0.5
    payloads = {"weights": pack_weights(network), "mixer": pack_vector(mixer)}
    load_weights(network, payloads["weights"], "here")
    load_vector(mixer, payloads["mixer"], "here")
    memory = None
    if config.memory.kind != "none":
        counts = new_counts(config.memory, V, bos_id=BOS)
        counts.add(text(7, 4000))
        memory = model_of(counts)
    return config, network, memory, mixer, exact_model(config, payloads, memory, version)


def exact_model(
    config: Config, payloads: dict[str, bytes], memory: Memory | None, version: int = FORMAT_VERSION
) -> ExactModel:
    return ExactModel.of(
        config, payloads, memory, vocab_size=V, seed=5, bos_id=BOS, source="here", format_version=version
    )


def text(seed: int, length: int) -> NDArray[np.int64]:
    """Tokens that repeat themselves: a walk over a few successors of each."""
    rng = np.random.default_rng(seed)
    follow = np.random.default_rng(0).integers(2, V, (V, 4))
    tokens = [BOS]
    for choice in rng.integers(0, 4, length):
        tokens.append(int(follow[tokens[-1], choice]))
    return np.array(tokens, np.int64)


def in_chunks(model: ExactModel, tokens_ST: NDArray[Any], chunk: int, threads: int = 1) -> NDArray[np.int64]:
    streams = Streams(model, len(tokens_ST), chunk=chunk, threads=threads)
    steps = range(0, tokens_ST.shape[1], chunk)
    return np.concatenate([streams.intervals(tokens_ST[:, i : i + chunk]) for i in steps], axis=1)


@pytest.mark.parametrize("name", CONFIGS)
@given(
    streams=st.integers(1, 5), length=st.integers(1, 60), chunk=st.integers(1, 50), seed=st.integers(0, 99)
)
@settings(max_examples=4, deadline=None)
def test_chunks_steps_streams_and_threads_do_not_matter(
    name: str, streams: int, length: int, chunk: int, seed: int
) -> None:
    model = parts(name)[4]
    tokens_ST = np.stack([text(seed + s, length)[1:] for s in range(streams)])
    expected = in_chunks(model, tokens_ST, 7)
    assert np.array_equal(in_chunks(model, tokens_ST, chunk, threads=2), expected)
    assert np.array_equal(in_chunks(model, tokens_ST[-1:], chunk), expected[-1:])
    stepping = Streams(model, streams, threads=2)
    for t in range(length):
        weights_SV, total_S = stepping.weights()
        for s in range(streams):
            start, size = interval(weights_SV[s], total_S[s], tokens_ST[s, t])
            assert (start, size) == tuple(expected[s, t])
            assert find(weights_SV[s], total_S[s], start + (seed * size) // 100) == (
                tokens_ST[s, t],
                start,
                size,
            )
        stepping.advance(tokens_ST[:, t])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_row_is_a_whole_distribution_near_the_float_one(name: str) -> None:
    distances = distances_to_floats(parts(name))
    assert np.mean(distances) < 0.002  # bits a token
    assert np.max(distances) < 0.02


def test_a_state_with_most_of_it_in_one_entry_keeps_the_others() -> None:
    """As training makes them, the more the longer; rounded together with it, the others would be lost."""
    found = {}
    for version in (1, 2):
        made = made_of("network alone", in_one_entry=50.0, version=version)
        found[version] = float(np.mean(distances_to_floats(made)))
    assert found[2] < 0.002 and found[2] < found[1] / 4


def distances_to_floats(made: tuple[Config, Transformer, Memory | None, Mixer, ExactModel]) -> list[float]:
    """Bits that exact rows cost beside float ones, token by token; every row is whole."""
    _, network, memory, mixer, model = made
    tokens = text(11, 60)[1:]
    predictor = Predictor(Mixture(network, BOS, memory, mixer), streams=1, dtype=torch.float32)
    stepping = Streams(model, 1)
    distances = []
    for token in tokens:
        weights_SV, total_S = stepping.weights()
        bounds = np.array([interval(weights_SV[0], total_S[0], v) for v in range(V)])
        assert bounds[0, 0] == 0
        assert bounds[:, 1].min() >= 1
        assert np.array_equal(bounds[1:, 0], np.cumsum(bounds[:-1, 1]))
        assert bounds[:, 1].sum() == 1 << 24
        exact, real = bounds[:, 1] / 2.0**24, predictor.predict()[0].exp().numpy()
        distances.append(float((real * np.log2(real / exact)).sum()))
        stepping.advance(np.array([token]))
        predictor.update(np.array([token]))
    return distances


@given(
    streams=st.integers(1, 4), length=st.integers(1, 40), chunk=st.integers(1, 50), seed=st.integers(0, 99)
)
@settings(max_examples=6, deadline=None)
def test_adaptive_chunks_and_steps_are_the_same_and_learn(
    streams: int, length: int, chunk: int, seed: int
) -> None:
    model = parts("gate")[4]
    tokens_ST = np.stack([text(seed, length)[1:] for s in range(streams)])  # one text, several times over
    tokens_ST[-1, length // 2 :] = -1

    def new(chunk: int) -> AdaptiveStreams:
        mixer = OnlineMixer(streams, pieces_of(V), orders=3, capacity=64)
        return AdaptiveStreams(model, mixer, chunk=chunk, threads=2)

    reading = new(chunk)
    steps = range(0, length, chunk)
    found = np.concatenate([reading.intervals(tokens_ST[:, i : i + chunk]) for i in steps], axis=1)
    stepping = new(1)
    for t in range(length):
        weights_SV, total_S = stepping.weights()
        for s in range(streams):
            if tokens_ST[s, t] >= 0:
                assert interval(weights_SV[s], total_S[s], tokens_ST[s, t]) == tuple(found[s, t])
            else:
                assert not found[s, t].any()
        stepping.advance(tokens_ST[:, t])
    if length > 30 and streams == 4:
        fixed = in_chunks(model, tokens_ST, 7)
        assert np.log2(found[:-1, :, 1]).sum() > np.log2(fixed[:-1, :, 1]).sum()


def test_a_stream_that_ended_leaves_the_others_alone() -> None:
    model = parts("gate")[4]
    tokens_ST = np.stack([text(s, 24)[1:] for s in range(2)])
    expected = in_chunks(model, tokens_ST, 8)
    tokens_ST[1, 9:] = -1
    found = in_chunks(model, tokens_ST, 8)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1, :9], expected[1, :9])
    assert not found[1, 9:].any()


def test_what_a_config_may_ask_for_stays_within_the_sums() -> None:
    assert schema.MAX_HIDDEN <= product.MAX_TERMS
    assert schema.MAX_WINDOW + CHUNK + product.COLUMNS <= product.MAX_TERMS
    assert schema.MAX_SOFTCAP * 1024 / np.log(2) < rows.LIMIT < (schema.MAX_SOFTCAP + 1) * 1024 / np.log(2)
    # A sum of int8 products (of a state, four of its entries 128 times as large), its multiplier and the norm of a
    # state whose largest entry is 127; see docs/exact.md.
    D = schema.MAX_WIDTH
    total = (D + 4 * 128) * 127 * 127
    assert 2 * total + 4 * 128 * 127 < 1 << 31  # with 128 added to every byte
    assert total * (1 << 15) >> 12 < 1 << 31
    assert (total * (1 << 15) >> 12) * int((D / 127**2) ** 0.5 * (1 << 20)) < 1 << 62


def test_numbers_beyond_the_exact_range_are_refused_by_name() -> None:
    config, network, memory, mixer, _ = parts("gate")
    payloads = {"weights": pack_weights(network), "mixer": pack_vector(mixer)}
    wide = {**payloads, "mixer": np.full(len(payloads["mixer"]) // 4, 1e5, "<f4").tobytes()}
    with pytest.raises(ArtifactError, match="here: the mixer has numbers beyond the exact range"):
        exact_model(config, wide, memory)
    huge = Transformer(config.model, V, 40, 5)
    with torch.no_grad():
        for name, p in huge.named_parameters():
            if name == "blocks.1.up.lora_b":
                p.fill_(1e6)
            if name == "blocks.1.up.lora_a":
                p.fill_(1e6)
    with pytest.raises(ArtifactError, match=r"weight blocks\.1\.up has numbers beyond the exact range"):
        exact_model(config, {**payloads, "weights": pack_weights(huge)}, memory)
    other = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, base="qr"))
    with pytest.raises(ArtifactError, match="has a qr base"):
        exact_model(other, payloads, memory)
