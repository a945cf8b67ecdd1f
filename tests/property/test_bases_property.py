"""A base is what its definition says: the fast code is held against a slow one written from its words."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.network.hadamard import block_and_rounds, derive_seed, integer_base, random_words

SEEDS = st.integers(min_value=0, max_value=2**64 - 1)
SIDES = st.integers(min_value=1, max_value=5).map(lambda k: 64 * k)


def splitmix64(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def slow_words(seed: int, stream: int, count: int) -> list[int]:
    gamma = 0x9E3779B97F4A7C15
    state = splitmix64((seed + (stream + 1) * gamma) % 2**64)
    return [splitmix64((state + (i + 1) * gamma) % 2**64) for i in range(count)]


def slow_square(seed: int, side: int) -> np.ndarray:
    """Column c is what becomes of unit vector c: flip signs, permute, transform the blocks, every round."""
    block, rounds = block_and_rounds(side)
    hadamard = np.array(
        [[(-1) ** (i & j).bit_count() for j in range(block)] for i in range(block)], dtype=np.int64
    )
    square = np.eye(side, dtype=np.int64)
    for index in range(rounds):
        signs = [-1 if word >> 63 else 1 for word in slow_words(seed, 2 * index, side)]
        keys = slow_words(seed, 2 * index + 1, side)
        order = sorted(range(side), key=lambda i: keys[i])
        square = np.array([signs[i] * square[i] for i in order])
        square = np.concatenate([hadamard @ square[i : i + block] for i in range(0, side, block)])
    return square


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, rows=SIDES, cols=SIDES)
def test_the_fast_base_is_the_defined_one(seed: int, rows: int, cols: int) -> None:
    square = slow_square(seed, max(rows, cols))
    expected = square[:, :rows].T if rows <= cols else square[:, :cols]
    assert np.array_equal(integer_base(seed, rows, cols), expected)


@given(seed=SEEDS, stream=st.integers(min_value=0, max_value=20), count=st.integers(min_value=0, max_value=9))
def test_the_vectorised_generator_is_splitmix64(seed: int, stream: int, count: int) -> None:
    assert random_words(seed, stream, count).tolist() == slow_words(seed, stream, count)


@given(root=SEEDS, names=st.lists(st.text(max_size=8), min_size=2, max_size=6, unique=True))
def test_parts_of_one_root_get_different_seeds(root: int, names: list[str]) -> None:
    seeds = {derive_seed(root, name) for name in names}
    assert len(seeds) == len(names) and all(0 <= seed < 2**64 for seed in seeds)
