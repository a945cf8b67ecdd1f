"""Causality, where the mixture is formed: a changed token moves no row, input or context before it or at its place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from regrow.core.config.schema import MixerConfig, ModelConfig
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.predict.lockstep import IGNORED
from regrow.predict.mixture import Mixture, Prefix, network_inputs

VOCAB, ORDER, BOS, STREAMS, LENGTH, WINDOW = 23, 4, 1, 2, 24, 8


class Rows(NamedTuple):
    """Of S streams of T tokens: network inputs [S, T], contexts [S, T, C], mixture and network [S, T, V]."""

    inputs: NDArray[np.int64]
    contexts: NDArray[np.int32]
    mixture: NDArray[np.float32]
    network: NDArray[np.float32]


@pytest.fixture(scope="module", params=[(0, 0), (5, 0), (0, 2), (5, 2)], ids=["", "memory", "recent", "both"])
def mixture(request: pytest.FixtureRequest) -> Mixture:
    """All parts with weights that matter: adapters off zero, a gate that answers to every fact."""
    generator = torch.Generator().manual_seed(3)
    memory, recent = request.param
    config = ModelConfig(
        n_layer=2, d_model=64, n_head=2, n_kv_head=1, r=4, window=WINDOW, memory_input=memory, recent_input=recent,
        recent_reach=9,
    )  # fmt: skip
    network = Transformer(config, VOCAB, LENGTH, seed=1)
    mixer = Mixer(MixerConfig(kind="gate"), generator)
    for p in (*network.parameters(), *mixer.parameters()):
        torch.nn.init.normal_(p, std=0.5, generator=generator)
    counts = NgramCounts(VOCAB, ORDER, bos_id=BOS)
    rng = np.random.default_rng(5)
    counts.add(np.concatenate(([BOS], rng.integers(2, VOCAB, 600))).astype(np.uint16))
    return Mixture(network, BOS, NgramModel.from_counts(counts), mixer, threads=1)


@torch.inference_mode()
def rows_of(mixture: Mixture, tokens_ST: NDArray[np.int64]) -> Rows:
    known = Prefix.of(mixture, STREAMS).read(tokens_ST)
    inputs_ST, contexts_RC, _ = known
    weights = mixture.network.weights(torch.float32)
    suggested = mixture.suggested(known)
    hidden_RD = mixture.network.hidden(torch.from_numpy(inputs_ST), weights, None, suggested).flatten(0, 1)
    rows = mixture.rows(hidden_RD, contexts_RC)
    shape = (STREAMS, LENGTH, VOCAB)
    return Rows(
        inputs_ST, contexts_RC.reshape(STREAMS, LENGTH, -1),
        rows.mixture_RV.numpy().reshape(shape), rows.network_RV.numpy().reshape(shape),
    )  # fmt: skip


TOKENS = st.lists(
    st.one_of(st.integers(2, VOCAB - 1), st.just(IGNORED)),
    min_size=STREAMS * LENGTH,
    max_size=STREAMS * LENGTH,
).map(lambda tokens: np.array(tokens, np.int64).reshape(STREAMS, LENGTH))


@given(TOKENS, st.integers(0, STREAMS - 1), st.integers(0, LENGTH - 1), st.integers(2, VOCAB - 1))
def test_a_changed_token_moves_nothing_up_to_its_own_row(
    mixture: Mixture, tokens_ST: NDArray[np.int64], stream: int, at: int, token: int
) -> None:
    changed_ST = tokens_ST.copy()
    changed_ST[stream, at] = token if token != tokens_ST[stream, at] else IGNORED
    before, after = rows_of(mixture, tokens_ST)._asdict(), rows_of(mixture, changed_ST)._asdict()
    for name, old in before.items():
        new = after[name]
        np.testing.assert_array_equal(old[stream, : at + 1], new[stream, : at + 1], err_msg=name)
        np.testing.assert_array_equal(old[1 - stream], new[1 - stream], err_msg=f"{name} of another stream")
    if at + 1 < LENGTH:  # and it is seen from the next row on, or the promise above would hold of nothing
        for name, old in before.items():
            assert (old[stream, at + 1] != after[name][stream, at + 1]).any(), name


@given(TOKENS, st.integers(0, LENGTH))
def test_text_read_in_two_pieces_gives_the_inputs_and_contexts_of_the_whole(
    tokens_ST: NDArray[np.int64], cut: int
) -> None:
    whole, pieces = Prefix(STREAMS, ORDER - 1, BOS, 5), Prefix(STREAMS, ORDER - 1, BOS, 5)
    read = whole.read(tokens_ST)
    inputs_ST, contexts_RC, _ = read
    parts = [pieces.read(part) for part in (tokens_ST[:, :cut], tokens_ST[:, cut:]) if part.size]
    np.testing.assert_array_equal(np.concatenate([p.inputs_ST for p in parts], 1), inputs_ST)
    contexts = [p.contexts_RC.reshape(STREAMS, -1, ORDER - 1) for p in parts]
    np.testing.assert_array_equal(np.concatenate(contexts, 1).reshape(-1, ORDER - 1), contexts_RC)
    np.testing.assert_array_equal(network_inputs(tokens_ST, BOS), inputs_ST)
    np.testing.assert_array_equal(pieces.last_S, whole.last_S)
    cuts = [read.piece(0, cut), read.piece(cut, LENGTH)]
    for piece, expected in zip([p for p in cuts if p.inputs_ST.size], parts, strict=True):
        for found, wanted in zip(piece, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
