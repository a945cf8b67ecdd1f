"""Pieces done side by side on several threads: the same numbers in the same order, and errors that end all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from regrow.artifact.artifact import Artifact
from regrow.predict.evaluation import score_streams
from regrow.predict.predictor import mixture_of
from regrow.predict.scattered import scattered_work


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_each_piece_is_done_once_with_one_thread_of_torch() -> None:
    lengths, threads = [3, 1, 2, 5, 4], set[int]()

    def work(i: int) -> np.ndarray:
        threads.add(torch.get_num_threads())
        return np.full((2, lengths[i]), float(i))

    done = scattered_work(lengths, 2, work, None, threads=2)
    assert [piece.tolist() for piece in done] == [np.full((2, n), i).tolist() for i, n in enumerate(lengths)]
    assert threads == {1} and torch.get_num_threads() == 2


def test_an_error_ends_the_work() -> None:
    begun: list[int] = []

    def work(i: int) -> np.ndarray:
        begun.append(i)
        raise ValueError(f"piece {i}")

    with pytest.raises(ValueError, match="piece 0"):
        scattered_work([1] * 1000, 1, work, None, threads=2)
    assert len(begun) < 1000 and torch.get_num_threads() == 2


def test_texts_cost_the_same_side_by_side_and_one_after_the_other(small_artifact: Path) -> None:
    artifact = Artifact.load(small_artifact)
    rng = np.random.default_rng(5)
    pieces = [rng.integers(0, 200, size=150 + 20 * i) for i in range(6)]
    together = score_streams(mixture_of(artifact), artifact.config.eval, pieces)
    torch.set_num_threads(1)
    alone = score_streams(mixture_of(artifact), artifact.config.eval, pieces)
    np.testing.assert_allclose(together.mixture, alone.mixture, rtol=1e-4)
    np.testing.assert_allclose(together.network, alone.network, rtol=1e-4)
    assert together.order is not None and (together.order == alone.order).all()
