"""The memory in the network's input: what is suggested, and that a text in training is not told what follows."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.datasets import dataset_of

from regrow.core.config.load import load_preset
from regrow.core.config.schema import Config, MemoryConfig, MixerConfig, ModelConfig, TrainConfig
from regrow.core.dist import ProcessGroup
from regrow.core.errors import ArtifactError
from regrow.data.dataset import Dataset
from regrow.data.tokenizer import Tokenizer
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.likeliest import likeliest, likeliest_of
from regrow.ngram.model.ngram_model import NgramModel
from regrow.predict.mixture import Mixture
from regrow.predict.predictor import Predictor
from regrow.training.batches import Part, Plan
from regrow.training.memory import TrainingMemory
from regrow.training.state import TrainingState

SEQ, BOS, K = 32, 1, 4
MODEL = ModelConfig(n_layer=1, d_model=64, n_head=2, n_kv_head=1, r=4, window=8, memory_input=K)


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.Generator(np.random.PCG64(1))
    words = [bytes(rng.integers(97, 123, 4).astype(np.uint8)) for _ in range(40)]
    documents = [b" ".join(words[i] for i in rng.integers(0, 40, 200)) for _ in range(24)]
    tokenizer = Tokenizer.train(documents, 300)
    pieces = [np.concatenate(([tokenizer.bos_id], tokenizer.encode(d))) for d in documents]
    offsets = np.cumsum([0] + [len(p) for p in pieces])[:-1]
    return dataset_of(tokenizer, np.concatenate(pieces), offsets, np.arange(24), b"a few words")


def model_of(texts: list[NDArray[np.uint16]], vocab_size: int) -> NgramModel:
    counts = NgramCounts(vocab_size, 3, bos_id=BOS)
    for text in texts:
        counts.add(text)
    return NgramModel.from_counts(counts)


@pytest.mark.parametrize("count", [1, K, 64, 300])
@pytest.mark.parametrize("dense", [0, 4096])
def test_the_likeliest_are_those_of_the_whole_distribution(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, count: int, dense: int
) -> None:
    """Of unseen contexts and of the text's own, whatever distributions rows start from; many are equally likely."""
    monkeypatch.setattr("regrow.ngram.model.rows.DENSE_VOCAB", dense)
    tokens = np.asarray(data.train_tokens)
    model = model_of([tokens], data.vocab_size)
    unseen = np.random.default_rng(2).integers(-1, data.vocab_size, (700, 2)).astype(np.int32)
    unseen.setflags(write=False)  # as the window over a single token is
    own = np.lib.stride_tricks.sliding_window_view(tokens[:1500].astype(np.int32), 2)
    for contexts in (unseen, own):
        found = likeliest(model, contexts, count, threads=2)
        probs_RV = model.probs(contexts)
        order_RK = np.argsort(-probs_RV, axis=1, kind="stable")[:, :count]
        assert np.array_equal(found.tokens_RK, order_RK)
        assert np.array_equal(found.probs_RK, np.take_along_axis(probs_RV, order_RK, 1))
        whole = likeliest_of(probs_RV, count)
        assert np.array_equal(whole.tokens_RK, order_RK)


def test_a_part_in_training_is_suggested_what_the_others_hold(data: Dataset) -> None:
    plan = Plan.of(data, SEQ, 0.3, 2, 0, mains=3)
    assert len(plan.mains) == 3 and len(plan.folds) == 2
    assert sum(len(part.text) for part in plan.parts) == len(data.train_tokens)
    sizes = [len(part.text) for part in plan.mains]
    assert max(sizes) < 2 * min(sizes)
    network = Transformer(MODEL, data.vocab_size, SEQ, 1)
    memory = TrainingMemory(MemoryConfig(max_order=3, discounts="estimated"), plan, data.vocab_size, BOS)
    index = np.array([0, 2])
    for part in plan.parts:
        others = [other.text for other in plan.parts if other is not part]
        expected = likeliest(model_of(others, data.vocab_size), part.contexts(index, 2), K)
        got = memory.read(part, index, network, joint=part in plan.folds)
        assert (got.rows is not None) == (part in plan.folds)
        assert got.likeliest is not None
        assert np.array_equal(got.likeliest.tokens_RK, expected.tokens_RK)
        np.testing.assert_allclose(got.likeliest.probs_RK, expected.probs_RK, rtol=1e-6)


def config_of(steps: int) -> Config:
    return msgspec.structs.replace(
        load_preset("demo"),
        model=MODEL,
        memory=MemoryConfig(max_order=3, folds=2),
        train=TrainConfig(batch_tokens=128, seq_len=SEQ, max_steps=steps, max_seconds=0, closing=0.25),
    )


ONE = ProcessGroup(0, 1, torch.device("cpu"))


def drawn(state: TrainingState, steps: int) -> list[tuple[Part, list[int], bool]]:
    found = []
    for _ in range(steps):
        part, index, joint = state.next_batch()
        found.append((part, index.tolist(), joint))
        state.step += 1
    return found


@pytest.mark.parametrize("steps", [40, 400])
def test_the_joint_phase_ends_on_fresh_folds_however_long_it_is(data: Dataset, steps: int) -> None:
    """Where fresh folds ran out and training went on without the memory, 0.02 bits per byte were lost."""
    state = TrainingState(config_of(steps), data, ONE)
    mains = state._parts[: state._mains]
    joint = [step for step in drawn(state, steps) if step[2]]
    assert len(joint) in (steps // 4, steps // 4 + 1)
    of_main = [any(part is main for main in mains) for part, _, _ in joint]
    folds = state._parts[state._mains :]
    whole = sum(part.windows // 4 for part in folds)  # batches of four sequences
    assert not of_main[-1] and of_main == sorted(of_main, reverse=True)
    assert of_main.count(False) == min(len(joint), whole)
    for fold in folds:
        seen = [i for part, index, _ in joint if part is fold for i in index]
        assert seen and len(seen) == len(set(seen))


def test_parts_come_in_turn_a_whole_pass_each_and_go_on_after_a_resume(data: Dataset) -> None:
    whole = TrainingState(config_of(400), data, ONE)
    mains = whole._parts[: whole._mains]
    assert len(mains) == 4
    first = drawn(whole, 290)
    visits = [
        next(i for i, part in enumerate(mains) if part is seen) for seen, _, joint in first if not joint
    ]
    turns = [a for a, b in zip(visits, [-1, *visits], strict=False) if a != b]
    assert turns[:5] == [0, 1, 2, 3, 0]
    passes = visits.index(1) * 4
    assert mains[0].windows <= passes < mains[0].windows + 4
    resumed = TrainingState(config_of(400), data, ONE)
    resumed.load_state_dict(whole.state_dict())
    after, again = drawn(whole, 30), drawn(resumed, 30)
    assert [(index, joint) for _, index, joint in after] == [(index, joint) for _, index, joint in again]
    assert after[-1][2]


def test_token_by_token_and_in_chunks_the_network_reads_the_same(data: Dataset) -> None:
    network = Transformer(MODEL, data.vocab_size, SEQ, 1)
    torch.nn.init.constant_(network.memory_gain, 3.0)
    memory = model_of([np.asarray(data.train_tokens)], data.vocab_size)
    mixture = Mixture(network, BOS, memory, Mixer(MixerConfig(), torch.Generator().manual_seed(1)), 1)
    tokens_ST = np.asarray(data.train_tokens)[1:33].astype(np.int64).reshape(2, 16)
    scored = Predictor(mixture, streams=2, dtype=torch.float32).score(tokens_ST)
    stepping = Predictor(mixture, streams=2, dtype=torch.float32)
    for t in range(16):
        chosen = stepping.predict()[[0, 1], tokens_ST[:, t]]
        np.testing.assert_allclose(-chosen.numpy(), scored.mixture_ST[:, t], atol=1e-4)
        stepping.update(tokens_ST[:, t])
    with torch.no_grad():
        network.memory_gain.zero_()
    deaf = Predictor(mixture, streams=2, dtype=torch.float32).score(tokens_ST)
    assert not np.allclose(deaf.network_ST, scored.network_ST, atol=1e-3)


@pytest.mark.parametrize("name", ["memory_gain", "recent_gain"])
def test_a_gain_beyond_exact_arithmetic_is_refused_by_name(name: str) -> None:
    from tests.second_decoder.golden_artifact import artifact

    from regrow.artifact.weights import StoredWeight, read_weights
    from regrow.predict.exact.model import _input

    config, payloads, _ = artifact("both in the input")
    weights = read_weights(payloads["weights"], config.model, 300, "here")
    weights["embedding"] = StoredWeight(weights["embedding"].q, np.full(300, 1 << 34, np.int64))
    assert _input(weights, config.model, "here")
    largest = np.full(weights[name].q.shape, 65504 << 24, np.int64)
    weights[name] = StoredWeight(largest, np.ones(1, np.int64))
    with pytest.raises(ArtifactError, match=name):
        _input(weights, config.model, "here")
