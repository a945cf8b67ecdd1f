"""Promises of what a training step is made of: windows, the memory beside it, optimisers, checkpoints."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.datasets import dataset_of

from regrow.core.config.load import apply_overrides, config_toml, load_preset
from regrow.core.config.schema import MemoryConfig, MixerConfig, ModelConfig, TrainConfig
from regrow.core.errors import ConfigError, DataError
from regrow.data.dataset import Dataset
from regrow.data.tokenizer import Tokenizer
from regrow.network.mixer import MemoryRows, Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.predict.lockstep import IGNORED
from regrow.predict.mixture import network_inputs
from regrow.training import checkpoint
from regrow.training.batches import Part, Plan, shuffled_batches
from regrow.training.checkpoint import check_config, load_checkpoint, save_checkpoint
from regrow.training.memory import TrainingMemory
from regrow.training.optim import Muon, Optimiser, learning_rate, orthogonalise, shares_of

SEQ = 32


def rows_of(memory: TrainingMemory, part: Part, index_B: NDArray[np.int64]) -> MemoryRows:
    """What a step of the joint phase is given."""
    rows = memory.read(part, index_B, Transformer(ModelConfig(n_layer=0), 300, SEQ, 1), joint=True).rows
    assert rows is not None
    return rows


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.Generator(np.random.PCG64(1))
    words = [bytes(rng.integers(97, 123, 4).astype(np.uint8)) for _ in range(40)]
    documents = [b" ".join(words[i] for i in rng.integers(0, 40, 200)) for _ in range(20)]
    tokenizer = Tokenizer.train(documents, 300)
    pieces = [np.concatenate(([tokenizer.bos_id], tokenizer.encode(d))) for d in documents]
    offsets = np.cumsum([0] + [len(p) for p in pieces])[:-1]
    return dataset_of(tokenizer, np.concatenate(pieces), offsets, np.arange(20) // 2, b"a few words")


def test_every_window_comes_once_an_epoch() -> None:
    part = Part(np.arange(2, 2 + 10 * SEQ, dtype=np.uint16), SEQ, 1)
    draws = shuffled_batches(part, 4, np.random.Generator(np.random.PCG64(5)))
    epoch = np.concatenate([next(draws) for _ in range(5)])
    assert sorted(epoch.tolist()) == sorted([*range(10), *range(10)])


def test_inputs_hold_only_what_came_before_each_target() -> None:
    targets = np.array([[5, 6, IGNORED, 7]])
    assert network_inputs(targets, 1).tolist() == [[1, 5, 6, 1]]


def test_the_joint_phase_shares_no_document_group_with_the_main_phase(data: Dataset) -> None:
    plan = Plan.of(data, SEQ, 0.4, 2, seed=3)
    assert len(plan.folds) == 2
    sizes = [len(p.text) for p in (plan.main, *plan.folds)]
    assert sum(sizes) == len(data.train_tokens)
    starts = [
        {p.text[i + 1 : i + 9].tobytes() for i in np.flatnonzero(p.text == 1)}
        for p in (plan.main, *plan.folds)
    ]
    assert not (starts[0] & starts[1]) and not (starts[1] & starts[2])


def test_counted_ahead_a_batch_is_predicted_without_its_own_fold(data: Dataset) -> None:
    plan = Plan.of(data, SEQ, 0.4, 2, seed=3)
    memory = TrainingMemory(MemoryConfig(max_order=3), plan, data.vocab_size, 1)
    rest = NgramCounts(data.vocab_size, 3, bos_id=1)
    rest.add(plan.main.text)
    rest.add(plan.folds[1].text)
    index = np.array([0, 1])
    contexts = plan.folds[0].contexts(index, 2)
    got = rows_of(memory, plan.folds[0], index).log_probs_RV.exp().numpy()
    assert memory.discounts is not None
    expected = NgramModel.from_counts(rest, discounts=memory.discounts).probs(contexts)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_prequentially_a_batch_is_predicted_as_the_memory_stood_before_it(data: Dataset) -> None:
    plan = Plan.of(data, SEQ, 0.4, 2, seed=3)
    memory = TrainingMemory(MemoryConfig(max_order=3, fill="prequential"), plan, data.vocab_size, 1)
    before = np.arange(plan.main.windows)
    memory.learn(plan.main, before)
    learned = memory.counts.total
    memory.learn(plan.main, before)
    assert memory.counts.total == learned  # a window seen again is not counted again
    only_main = NgramCounts(data.vocab_size, 3, bos_id=1)
    only_main.add(plan.main.tokens)
    index = np.array([0])
    got = rows_of(memory, plan.folds[0], index).log_probs_RV.exp().numpy()
    expected = NgramModel.from_counts(only_main).probs(plan.folds[0].contexts(index, 2))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert len(memory.seen_text()) == len(plan.main.tokens)


def test_a_mixture_is_one_distribution_whatever_the_gate_says(data: Dataset) -> None:
    generator = torch.Generator().manual_seed(1)
    counts = NgramCounts(data.vocab_size, 3, bos_id=1)
    counts.add(np.asarray(data.train_tokens))
    rows = MemoryRows.of(NgramModel.from_counts(counts).rows(np.array([[5, 6], [-1, 1]], np.int32)))
    for kind in ("gate", "fixed"):
        mixer = Mixer(MixerConfig(kind=kind), generator)
        for p in mixer.parameters():
            torch.nn.init.normal_(p, generator=generator)
        mixed = mixer(torch.randn(2, data.vocab_size, generator=generator), rows.log_probs_RV, rows.facts_RC)
        torch.testing.assert_close(
            torch.softmax(mixed.double(), -1).sum(-1), torch.ones(2, dtype=torch.float64)
        )


@pytest.mark.parametrize("shape", [(3, 8, 24), (2, 24, 8), (1, 16, 16)])
def test_muon_updates_are_nearly_orthogonal(shape: tuple[int, ...]) -> None:
    g = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    values = torch.linalg.svdvals(orthogonalise(g, torch.float32))
    assert float(values.min()) > 0.5 and float(values.max()) < 1.4
    with pytest.raises(ValueError, match="matrices"):
        Muon([torch.nn.Parameter(torch.zeros(3))], 0.1, 0.9, 0.0, torch.float32)


def test_matrices_are_divided_evenly_and_each_once() -> None:
    shapes = [(256, 256)] * 8 + [(768, 96), (96, 256)] * 4 + [(128, 256)] * 8
    for world_size in (1, 2, 3, 64):
        shares = shares_of(shapes, world_size)
        assert sorted(i for share in shares for batch in share for i in batch) == list(range(len(shapes)))
        assert all(len({shapes[i] for i in batch}) == 1 for share in shares for batch in share)
        work = [sum(a * b * min(a, b) for batch in s for a, b in (shapes[i] for i in batch)) for s in shares]
        assert max(work) - min(work) <= 256**3, "no process has more to do than another by over one matrix"


def test_learning_rate_rises_holds_and_falls_to_zero() -> None:
    assert learning_rate(0.0, 0, 10, 0.5) == pytest.approx(0.1)
    assert learning_rate(0.3, 50, 10, 0.5) == 1.0
    assert learning_rate(0.75, 50, 10, 0.5) == pytest.approx(0.5)
    assert learning_rate(1.0, 50, 10, 0.5) == 0.0


@pytest.mark.parametrize("seeded", ["all", "mlp", "none"])
def test_no_frozen_base_is_in_the_state_and_every_parameter_learns(seeded: str) -> None:
    config = ModelConfig(n_layer=1, d_model=64, n_head=2, n_kv_head=2, r=4, seeded=seeded, window=8)  # type: ignore[arg-type]
    network = Transformer(config, 32, 16, seed=1)
    assert not [name for name in network.state_dict() if "base" in name]
    optimiser = Optimiser(network, TrainConfig(), torch.float32)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    tokens = torch.randint(2, 32, (2, 16), generator=torch.Generator().manual_seed(1))
    for _ in range(2):  # the first step moves lora_b off zero, the second lora_a
        logits = network.logits(network.hidden(tokens, network.weights(torch.float32)))
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
        optimiser.step(1.0)
    for name, p in network.named_parameters():
        assert not torch.equal(p, before[name]), name


def test_checkpoints_come_back_whole_the_last_two_are_kept_and_damage_is_named(tmp_path: Path) -> None:
    state = {"step": 3, "nested": [{"x": torch.arange(6.0).view(2, 3)}, None, "words"], "7": {5: 1.5}}
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, state | {"step": step})
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    loaded = load_checkpoint(tmp_path)
    assert torch.equal(loaded["nested"][0]["x"], state["nested"][0]["x"])  # type: ignore[index]
    assert loaded["nested"][1:] == [None, "words"] and loaded["7"] == {5: 1.5}
    newest = max(tmp_path.glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:20])
    said: list[str] = []
    assert load_checkpoint(tmp_path, said.append)["step"] == 2
    assert "step-00000003" in said[0] and "step-00000002" in said[0]
    before = min(tmp_path.glob("*.safetensors"))
    spoiled = bytearray(before.read_bytes())
    spoiled[-5] ^= 1  # within a tensor: the file can still be read, its checksum tells
    before.write_bytes(spoiled)
    with pytest.raises(DataError, match=r"step-00000003.*step-00000002.*checksum"):
        load_checkpoint(tmp_path)
    with pytest.raises(DataError, match="holds no checkpoint"):
        load_checkpoint(tmp_path / "none")


def test_checkpoints_take_at_most_a_twentieth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However short the interval: a save that held up a step for s seconds is not followed by another within 20 s."""
    inner, waited = checkpoint._copied, 0.05

    def slow(state: dict[str, Any]) -> Any:
        time.sleep(waited)
        return inner(state)

    monkeypatch.setattr(checkpoint, "_copied", slow)
    kept = checkpoint.Checkpoints(tmp_path, 0.001, 0, True, lambda _: None)
    assert kept.due(0.002)
    kept.save(1, {"x": torch.zeros(3)})
    kept.finish()
    assert not kept.due(20 * waited) and kept.due(1e6)


def test_a_run_that_goes_on_may_be_packed_otherwise_and_not_trained_otherwise() -> None:
    """A budget that was too small, or packing that took too long, must not cost the training."""
    config, folder = load_preset("demo"), Path("run/checkpoint")
    packed = apply_overrides(config, ["pack.budget_bytes=5000000", "pack.load_seconds=0"])
    check_config(config_toml(config), packed, folder)
    with pytest.raises(ConfigError, match=r"train\.seed"):
        check_config(config_toml(config), apply_overrides(config, ["train.seed=5"]), folder)
