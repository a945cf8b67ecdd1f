"""docs/exact.md is enough: an implementation made from it alone gives the same intervals, and both the golden ones."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.second_decoder import frequencies
from tests.second_decoder.golden_artifact import BOS, CONFIGS, SEED, V, artifact, exact_model, text

from regrow.artifact.weights import read_weights
from regrow.predict.exact.adaptive import AdaptiveStreams
from regrow.predict.exact.streams import Streams

GOLDEN = {
    "gate": "a88a8a4e2a45aec5",
    "all seeded, fixed": "f8f99bc19f5d37b3",
    "nothing seeded, no cap": "190cae0f1fddc938",
    "hashed": "0dfa7692976ca871",
    "network alone": "1983f89549f3d981",
}
ADAPTIVE = "dcbcd96cc5aed500"


def intervals(name: str, tokens: list[int]) -> NDArray[np.int64]:
    return Streams(exact_model(name), 1, chunk=len(tokens)).intervals(np.array([tokens]))[0]


def digest(found: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(found, "<i8").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", CONFIGS)
def test_both_implementations_give_the_golden_intervals(name: str) -> None:
    config, payloads, memory = artifact(name)
    tokens = text(1003, 48)[1:]
    found = intervals(name, tokens)
    stored = read_weights(payloads["weights"], config.model, V, "here")
    weights = frequencies.read(stored, payloads["mixer"], config, SEED)
    starts = frequencies.rows(weights, memory, tokens, BOS)
    second = [(row[v], row[v + 1] - row[v]) for row, v in zip(starts, tokens, strict=True)]
    assert found.tolist() == [list(map(int, pair)) for pair in second]
    assert all(row[0] == 0 and row[-1] == 1 << 24 and np.diff(row).min() >= 1 for row in starts)
    assert len({size for _, size in second}) > 20  # rows that differ, or nothing was tested
    assert digest(found) == GOLDEN[name]


def adaptive_intervals() -> NDArray[np.int64]:
    tokens_ST = np.array([text(1004 + s, 60)[1:] for s in range(3)])
    streams = AdaptiveStreams(exact_model("gate"), 3, orders=3, tokens=120, chunk=60)
    return streams.intervals(tokens_ST)


def test_adaptive_intervals_are_golden() -> None:
    assert digest(adaptive_intervals()) == ADAPTIVE


def test_the_second_decoder_is_short() -> None:
    assert len(Path(inspect.getfile(frequencies)).read_text(encoding="utf-8").splitlines()) <= 500
