"""Which phase a training step belongs to, and where the learning rates stand in it."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest
import torch
from tests.datasets import dataset_of

from regrow.core.config.schema import Config
from regrow.core.dist import ProcessGroup
from regrow.data.dataset import Dataset
from regrow.data.tokenizer import Tokenizer
from regrow.training.state import TrainingState

GROUP = ProcessGroup(0, 1, torch.device("cpu"))
CLOSING = 0.25


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.default_rng(0)
    text = bytes(rng.integers(97, 123, 6000).astype(np.uint8))
    tokenizer = Tokenizer.train([text], 300)
    tokens = np.concatenate(([tokenizer.bos_id], tokenizer.encode(text)))
    return dataset_of(tokenizer, tokens, [0], [0], text[:200])


def state_of(config: Config, data: Dataset, memory_input: int = 0, **train: float) -> TrainingState:
    """At the beginning of a run in batches of four windows."""
    limits = {"max_steps": 0, "max_seconds": 0.0} | train
    changed = msgspec.structs.replace(config.train, seq_len=32, batch_tokens=128, closing=CLOSING, **limits)
    memory = msgspec.structs.replace(config.memory, folds=4)
    model = msgspec.structs.replace(config.model, memory_input=memory_input)
    return TrainingState(
        msgspec.structs.replace(config, train=changed, memory=memory, model=model), data, GROUP
    )


def walk(state: TrainingState, seconds: float) -> tuple[list[bool], list[float], Counter[tuple[int, int]]]:
    """Steps of so many seconds to the end: whether each is of the joint phase, the schedule, and how often the joint
    phase meets each window of each part."""
    joint, schedule, met = [], [], Counter[tuple[int, int]]()
    while state.done < 1:
        part, index_B, is_joint = state.next_batch()
        joint.append(is_joint)
        schedule.append(state.scheduled)
        if is_joint:
            met.update((id(part), i) for i in index_B.tolist())
        state.step, state.tokens, state.elapsed = state.step + 1, state.tokens + 128, state.elapsed + seconds
        state.look(GROUP)
    return joint, schedule, met


@pytest.mark.parametrize("limit", [{"max_steps": 1000}, {"max_tokens": 128_000}, {"max_seconds": 500.0}])
def test_however_long_a_run_its_joint_phase_meets_a_text_once(
    small_config: Config, data: Dataset, limit: dict[str, float]
) -> None:
    """A network that knows a text by heart would teach the mixer to trust it."""
    joint, schedule, met = walk(state_of(small_config, data, **limit), 0.5)
    first = joint.index(True)
    assert len(joint) == 1000 and joint == [False] * first + [True] * (1000 - first)
    assert 5 <= 1000 - first < 1000 * CLOSING
    assert max(met.values()) == 1
    assert schedule == sorted(schedule) and schedule[0] == 0
    assert schedule[first] == pytest.approx(1 - CLOSING), "the joint phase has its own share of the schedule"
    assert 1 - CLOSING / 5 <= schedule[-1] < 1


def test_a_joint_phase_that_its_folds_are_enough_for_is_as_long_as_planned(
    small_config: Config, data: Dataset
) -> None:
    state = state_of(small_config, data, max_steps=16)
    joint, schedule, met = walk(state, 0.5)
    assert joint == [False] * 12 + [True] * 4
    assert schedule == [i / 16 for i in range(16)], (
        "to the last bit: such runs give the bytes they always gave"
    )
    assert max(met.values()) == 1


def test_where_the_network_reads_the_memory_the_phase_is_as_long_as_planned(
    small_config: Config, data: Dataset
) -> None:
    joint, schedule, _ = walk(state_of(small_config, data, memory_input=2, max_steps=200), 0.5)
    assert joint == [False] * 150 + [True] * 50
    assert schedule == [i / 200 for i in range(200)]


def test_a_run_that_goes_on_from_a_checkpoint_changes_phase_at_the_same_step(
    small_config: Config, data: Dataset
) -> None:
    whole, schedule, _ = walk(state_of(small_config, data, max_seconds=100.0), 0.5)
    for stop in (10, whole.index(True), whole.index(True) + 1):
        state, again = (state_of(small_config, data, max_seconds=100.0) for _ in range(2))
        for _ in range(stop):
            state.next_batch()
            state.step, state.tokens, state.elapsed = state.step + 1, state.tokens + 128, state.elapsed + 0.5
        again.load_state_dict(state.state_dict())
        joint, rest, _ = walk(again, 0.5)
        assert joint == whole[stop:] and rest == schedule[stop:]
