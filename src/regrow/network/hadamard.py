"""The integers of a frozen base: (H P D)^k before its scale, a function of the seed alone. No torch.

A base is a randomised Hadamard matrix, (H P D)^k for k rounds: D flips random signs, P is a random
permutation and H is a Walsh-Hadamard transform of the blocks of a vector (Ailon and Chazelle 2009 use one
such round as a fast random projection; k rounds make the entries look Gaussian). All of it is integer arithmetic on
numbers below 2^31.

Shape suffixes: N side of the square, C vectors worked on at once.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from regrow.core.errors import ConfigError

SIDE_STEP = 64  # sides are multiples of this, so a block is never shorter than 64
MAX_SIDE = 32_768  # three rounds of blocks of 32,768 stay below 2^31
_MIN_ROUNDS = 3  # two leave 7 % of a 512-wide base and a quarter of a 1600-wide one at zero
_MIN_PATHS = 64  # signed paths from an input to an output, on average: fewer would show as many zeros
_CHUNK_BYTES = 1 << 18  # one of the two work buffers: both sit in a core's second-level cache
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1

_IntArray = npt.NDArray[np.signedinteger[Any]]


def derive_seed(root: SupportsIndex, name: str) -> int:
    """The 64-bit seed of the part called `name`, from one 8-byte `root` seed; stable for all time.

    It is the first 8 bytes, little-endian, of SHA-256 over the root's 8 bytes, little-endian, and the name
    in UTF-8. Raises ConfigError when the root does not fit 8 bytes.
    """
    root = checked_seed(root)
    digest = hashlib.sha256(root.to_bytes(8, "little") + name.encode()).digest()
    return int.from_bytes(digest[:8], "little")


def random_words(seed: int, stream: int, count: int) -> npt.NDArray[np.uint64]:
    """`count` random 64-bit words [count] of one of the numbered streams of `seed`.

    Word i is the splitmix64 finaliser of state + (i + 1) * gamma (Steele, Lea and Flood 2014), a function
    of the counter alone; the state is that finaliser of seed + (stream + 1) * gamma.
    """
    state = _mix64(np.array([(operator.index(seed) + (stream + 1) * _GOLDEN_GAMMA) & _MASK], dtype=np.uint64))
    counters = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN_GAMMA)
    return _mix64(counters + state)


def block_and_rounds(side: int) -> tuple[int, int]:
    """The transform's block (the largest power of two that divides `side`) and its number of rounds.

    Three rounds, or more for a large side with a small block: until block^rounds / side, the average number
    of signed paths that make up one entry, reaches 64.
    """
    block = side & -side
    rounds = _MIN_ROUNDS
    while block**rounds < _MIN_PATHS * side:
        rounds += 1
    return block, rounds


def integer_base(seed: int, rows: int, cols: int) -> npt.NDArray[np.int32]:
    """The base before its scale: int32 [rows, cols], orthogonal along the shorter side in exact integers.

    With block and rounds of the larger side, M M^T (M^T M when there are more rows than columns) is
    block^rounds times the identity. Raises ConfigError for a side that is no multiple of 64 or above
    32,768, or a seed beyond 64 bits.
    """
    seed, rows, cols = checked_base(seed, rows, cols)
    out = np.empty((rows, cols), dtype=np.int32)
    vectors_NC = out.T if rows <= cols else out
    for start, stop, chunk_NC in integer_chunks(seed, max(rows, cols), min(rows, cols)):
        vectors_NC[:, start:stop] = chunk_NC
    return out


def integer_chunks(seed: int, side: int, count: int) -> Iterator[tuple[int, int, _IntArray]]:
    """The square's first `count` vectors, as columns: (start, stop, integers [side, stop - start])."""
    block, rounds = block_and_rounds(side)
    orders, signs = [], []
    for round_index in range(rounds):
        orders.append(np.argsort(random_words(seed, 2 * round_index + 1, side), kind="stable"))
        flips = (random_words(seed, 2 * round_index, side) >> np.uint64(63)).astype(np.int8)
        signs.append((1 - 2 * flips)[orders[-1], None])
    step = max(1, _CHUNK_BYTES // (4 * side))
    for start in range(0, count, step):
        stop = min(count, start + step)
        x_NC: _IntArray = np.zeros((side, stop - start), dtype=np.int8)
        x_NC[np.arange(start, stop), np.arange(stop - start)] = 1
        for round_index in range(rounds):
            # No entry exceeds block^round_index after this round, so the first rounds fit narrow integers.
            dtype = np.int8 if round_index == 0 else np.int16 if block**round_index < 1 << 15 else np.int32
            x_NC = np.multiply(x_NC[orders[round_index]], signs[round_index], dtype=dtype)
            x_NC = _walsh_hadamard(x_NC, block)
        yield start, stop, x_NC


def _walsh_hadamard(x_NC: _IntArray, block: int) -> _IntArray:
    """The unscaled Walsh-Hadamard transform of every block of rows; `x_NC` is used up as a work buffer."""
    y_NC = np.empty_like(x_NC)
    half = 1
    while half < block:
        x_pairs = x_NC.reshape(-1, 2, half * x_NC.shape[1])
        y_pairs = y_NC.reshape(-1, 2, half * x_NC.shape[1])
        np.add(x_pairs[:, 0], x_pairs[:, 1], out=y_pairs[:, 0])
        np.subtract(x_pairs[:, 0], x_pairs[:, 1], out=y_pairs[:, 1])
        x_NC, y_NC = y_NC, x_NC
        half *= 2
    return x_NC


def _mix64(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def checked_seed(seed: SupportsIndex) -> int:
    """A seed as a whole number of Python's, whose arithmetic does not overflow as numpy's does. Raises ConfigError for
    what is no whole number from 0 to 2^64 - 1."""
    try:
        value = operator.index(seed)
    except TypeError:
        value = -1
    if not 0 <= value <= _MASK:
        raise ConfigError(f"seed {seed}: does not fit 8 bytes; use a whole number from 0 to 2^64 - 1.")
    return value


def checked_base(seed: SupportsIndex, rows: SupportsIndex, cols: SupportsIndex) -> tuple[int, int, int]:
    """Seed and sides of a base as Python's whole numbers. Raises ConfigError for a base that cannot be made."""
    sides = (operator.index(rows), operator.index(cols))
    for side, name in zip(sides, ("rows", "columns"), strict=True):
        if side <= 0 or side % SIDE_STEP:
            nearest = max(SIDE_STEP, round(side / SIDE_STEP) * SIDE_STEP)
            raise ConfigError(
                f"frozen base of {rows} x {cols}: its {name} are no multiple of {SIDE_STEP}; "
                f"use {nearest} {name}."
            )
        if side > MAX_SIDE:
            raise ConfigError(
                f"frozen base of {rows} x {cols}: its {name} are above {MAX_SIDE}; use a narrower layer."
            )
    return checked_seed(seed), *sides
