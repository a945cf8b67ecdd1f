"""What `regrow fit` is made of: its configs, held-out text while training, and a folder that appears as a whole."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.datasets import dataset_of

from regrow.artifact.stored import StoredArtifact
from regrow.core.config.checks import check
from regrow.core.config.schema import Config, EvalConfig
from regrow.core.config.sizing import adaptive_bytes, fit_config
from regrow.core.dist import ProcessGroup
from regrow.core.folders import new_folder
from regrow.core.progress import Silent
from regrow.data.dataset import Dataset
from regrow.data.tokenizer import Tokenizer
from regrow.network.shapes import parameter_shapes
from regrow.network.transformer import Transformer
from regrow.predict.evaluation import evaluate
from regrow.training.held_out import HeldOut
from regrow.training.needs import check_budget
from regrow.training.state import TrainingState
from regrow.training.trainer import Trainer

WORDS = b"the cat sat on a mat, and the dog saw the cat run home to the other cat. "


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.default_rng(0)
    words = WORDS.split()
    text = b" ".join(words[i] for i in rng.integers(0, len(words), 3000))
    tokenizer = Tokenizer.train([text], 300)
    tokens = np.concatenate(([tokenizer.bos_id], tokenizer.encode(text)))
    return dataset_of(tokenizer, tokens, [0], [0], text[-3000:-1000] + WORDS * 2)


@pytest.fixture
def config(small_config: Config) -> Config:
    train = msgspec.structs.replace(
        small_config.train,
        max_steps=20,
        max_seconds=0.0,
        compile="off",
        eval_every=2,
        patience=2,
        closing=0.4,
    )
    memory = msgspec.structs.replace(small_config.memory, max_order=3, folds=2)
    return msgspec.structs.replace(small_config, train=train, memory=memory)


@given(st.integers(1, 10**10), st.integers(200_000, 10**8), st.floats(1, 1e5))
def test_every_text_budget_and_time_has_a_config_that_can_run(size: int, budget: int, seconds: float) -> None:
    """The check's rules hold, and the network leaves the memory more than half of the budget."""
    config = fit_config(size, budget, seconds)
    check(config, "fit")
    assert 0 < config.train.max_seconds <= seconds
    shapes = parameter_shapes(config.model, config.data.vocab_size)
    assert sum(math.prod(shape) for shape in shapes.values()) <= 0.45 * budget


def test_a_held_out_text_is_proven_adaptively_where_a_tenth_of_the_time_will_do() -> None:
    assert adaptive_bytes(300) == 150_000
    short, long = fit_config(1_400_000, 4_000_000, 300), fit_config(1_600_000, 4_000_000, 300)
    assert short.train.max_seconds < long.train.max_seconds, "the time is kept for it"


def test_a_short_text_is_not_learned_by_heart_however_much_time_there_is() -> None:
    """Twelve passes; a text of a few lines has the steps that a network needs to learn anything."""
    for size, passes in ((300_000, 12), (3_000_000, 12)):
        train = fit_config(size, 4_000_000, 36_000).train
        assert train.max_tokens == pytest.approx(passes * size / 3, rel=0.01)
    small = fit_config(3000, 4_000_000, 600).train
    assert small.max_tokens == 400 * small.batch_tokens


def test_a_budget_of_the_smallest_network_is_enough(data: Dataset) -> None:
    config = fit_config(30_000, 200_000, 60)
    check_budget(config, config.data.vocab_size, len(data.tokenizer.to_bytes()))


def test_a_look_finds_the_best_weights_again(data: Dataset, config: Config) -> None:
    network = Transformer(msgspec.structs.replace(config.model, memory_input=0), data.vocab_size, 64, 1)
    held_out = HeldOut(data, EvalConfig())
    first = held_out.look(network, None)
    with torch.no_grad():
        network.embedding.add_(torch.randn_like(network.embedding))
    assert held_out.look(network, None) > first and held_out.worse == 1 and held_out.best == first
    other = HeldOut(data, EvalConfig())
    other.load_state_dict(held_out.state_dict())
    other.restore(network)
    assert other.worse == 1 and held_out.look(network, None) == first


def test_the_main_phase_ends_where_held_out_text_says_so(
    data: Dataset, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two looks in a row are worse than the first: the joint phase begins there, from the first one's weights."""
    state = TrainingState(config, data, ProcessGroup(0, 1, torch.device("cpu")))
    assert state.held_out is not None
    best = {name: p.clone() for name, p in state.network.state_dict().items()}
    found = iter([1.0, 1.5, 1.2])
    monkeypatch.setattr("regrow.training.held_out.math.log", lambda _: 1 / next(found))
    monkeypatch.setattr(
        "regrow.training.held_out.score_streams", lambda *_, **__: type("S", (), {"network": np.ones(1)})
    )
    looks = []
    for _ in range(8):
        state.step += 1
        looks.append(state.look(ProcessGroup(0, 1, torch.device("cpu"))))
        with torch.no_grad():
            state.network.embedding.add_(1.0)
        if state.step == 1:
            best = {name: p.clone() for name, p in state.network.state_dict().items()}
    assert [look is not None for look in looks] == [False, True, False, True, False, True, False, False]
    assert state.done == pytest.approx(0.6 + 2 / 20), "six steps of twenty, then the joint phase"
    assert state.next_batch()[2]
    wanted = best["embedding"] + 3.0  # restored at step 6, and changed by this test since
    assert torch.allclose(state.network.state_dict()["embedding"], wanted, atol=1e-4)


def test_packing_keeps_the_memory_where_the_network_has_learned_nothing(
    data: Dataset, config: Config, tmp_path: Path
) -> None:
    pack = msgspec.structs.replace(config.pack, keep="best")
    trainer = Trainer(
        msgspec.structs.replace(config, pack=pack),
        data,
        tmp_path,
        ProcessGroup(0, 1, torch.device("cpu")),
        Silent(),
    )
    result = trainer.finish()
    assert result.kept == "memory" and result.candidates is not None
    assert result.candidates["memory"] == min(result.candidates.values())
    artifact = tmp_path / "artifact.safetensors"
    stored = StoredArtifact.read(artifact)
    assert not stored.config.model.n_layer and result.bytes is not None
    assert result.bytes["total"] == artifact.stat().st_size and result.bytes["adapters"] == 0
    assert evaluate(artifact, data.val_bytes).bpb.blended == pytest.approx(
        result.candidates["memory"], rel=1e-6
    )


def test_a_folder_appears_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "model"
    for attempt in "first", "second":
        with new_folder(place) as making:
            (making / "file").write_text(attempt)
            assert not place.exists() or (place / "file").read_text() == "first"
        assert (place / "file").read_text() == attempt
    with pytest.raises(KeyboardInterrupt), new_folder(place) as making:
        (making / "file").write_text("third")
        raise KeyboardInterrupt
    assert (place / "file").read_text() == "second"
    assert [path.name for path in place.parent.iterdir()] == ["model"]


def test_what_a_killed_process_left_is_removed_and_what_it_had_moved_comes_back(tmp_path: Path) -> None:
    place = tmp_path / "model"
    script = (
        "import os, pathlib, signal, sys\n"
        "from regrow.core.folders import new_folder\n"
        "with new_folder(pathlib.Path(sys.argv[1])) as making:\n"
        "    if sys.argv[2] == 'moved': pathlib.Path(sys.argv[1]).rename(making.parent / 'old')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with new_folder(place) as making:
        (making / "file").write_text("first")
    for when in ("working", "moved"):
        subprocess.run([sys.executable, "-c", script, str(place), when], check=False)
    assert len(list(tmp_path.iterdir())) == 1 and not place.exists()
    with pytest.raises(KeyboardInterrupt), new_folder(place):
        with new_folder(place) as other:  # of a process that is alive nothing is removed
            (other / "file").write_text("second")
        raise KeyboardInterrupt
    assert (place / "file").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    subprocess.run([sys.executable, "-c", script, str(place), "moved"], check=False)
    with pytest.raises(KeyboardInterrupt), new_folder(place):
        raise KeyboardInterrupt
    assert (place / "file").read_text() == "second", "given back"
