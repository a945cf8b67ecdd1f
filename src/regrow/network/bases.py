"""Frozen base matrices that regrow from a seed: the artifact stores eight bytes, never the matrix.

A base is a randomised Hadamard matrix, (H P D)^k for k rounds: D flips random signs, P is a random
permutation and H is a Walsh-Hadamard transform of the blocks of a vector (Ailon and Chazelle 2009 use one
such round as a fast random projection; k rounds make the entries look Gaussian). Everything before the last
step is integer arithmetic on numbers below 2^31, and the last step is one float32 multiplication by one
constant, so the bits depend on neither platform, thread count nor library version, which no QR
decomposition can promise.

Shape suffixes: N side of the square, C vectors worked on at once, R rows, K columns.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from regrow.core.errors import ConfigError

BaseKind = Literal["hadamard", "qr", "gaussian"]
BASE_KINDS: tuple[BaseKind, ...] = ("hadamard", "qr", "gaussian")

SIDE_STEP = 64  # sides are multiples of this, so a block is never shorter than 64
MAX_SIDE = 32_768  # three rounds of blocks of 32,768 stay below 2^31
_MIN_ROUNDS = 3  # two leave 7 % of a 512-wide base and a quarter of a 1600-wide one at zero
_MIN_PATHS = 64  # signed paths from an input to an output, on average: fewer would show as many zeros
_CHUNK_BYTES = 1 << 18  # one of the two work buffers: both sit in a core's second-level cache
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1

_IntArray = npt.NDArray[np.signedinteger[Any]]


def derive_seed(root: int, name: str) -> int:
    """The 64-bit seed of the part called `name`, from one 8-byte `root` seed; stable for all time.

    It is the first 8 bytes, little-endian, of SHA-256 over the root's 8 bytes, little-endian, and the name
    in UTF-8. Raises ConfigError when the root does not fit 8 bytes.
    """
    _check_seed(root)
    digest = hashlib.sha256(root.to_bytes(8, "little") + name.encode()).digest()
    return int.from_bytes(digest[:8], "little")


def random_words(seed: int, stream: int, count: int) -> npt.NDArray[np.uint64]:
    """`count` random 64-bit words [count] of one of the numbered streams of `seed`.

    Word i is the splitmix64 finaliser of state + (i + 1) * gamma (Steele, Lea and Flood 2014), a function
    of the counter alone; the state is that finaliser of seed + (stream + 1) * gamma.
    """
    state = _mix64(np.array([(seed + (stream + 1) * _GOLDEN_GAMMA) & _MASK], dtype=np.uint64))
    counters = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN_GAMMA)
    return _mix64(counters + state)


def seeded_uniform(seed: int, rows: int, cols: int, bound: float) -> torch.Tensor:
    """A float32 tensor [rows, cols], uniform on 2^24 evenly spaced points within +-bound, by seed alone."""
    words = random_words(seed, 0, rows * cols) >> np.uint64(40)
    odd = words.astype(np.int64) * 2 + (1 - (1 << 24))  # odd numbers below 2^24 in size: exact in float32
    values = odd.astype(np.float32) * np.float32(bound / (1 << 24))
    return torch.from_numpy(values.reshape(rows, cols))


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
    _check(seed, rows, cols)
    out = np.empty((rows, cols), dtype=np.int32)
    vectors_NC = out.T if rows <= cols else out
    for start, stop, chunk_NC in _integer_chunks(seed, max(rows, cols), min(rows, cols)):
        vectors_NC[:, start:stop] = chunk_NC
    return out


def seeded_orthogonal(seed: int, rows: int, cols: int, gain: float = 1.0) -> torch.Tensor:
    """A float32 tensor [rows, cols], a function of its arguments alone, with the same bits on every machine.

    Orthonormal along the shorter side, times `gain`: all singular values equal `gain`. It is the slice of
    the square of the larger side that is needed, and only that slice is computed. Raises ConfigError as
    `integer_base` does.
    """
    _check(seed, rows, cols)
    block, rounds = block_and_rounds(max(rows, cols))
    scale = np.float32(gain / math.sqrt(block**rounds))
    out = np.empty((rows, cols), dtype=np.float32)
    vectors_NC = out.T if rows <= cols else out
    for start, stop, chunk_NC in _integer_chunks(seed, max(rows, cols), min(rows, cols)):
        # Integers to 2^24 are exact in float32, so the multiplication rounds each entry once and only once.
        exact_NC = chunk_NC.astype(np.float32)
        exact_NC *= scale
        vectors_NC[:, start:stop] = exact_NC
    return torch.from_numpy(out)


def seeded_base(kind: BaseKind, seed: int, rows: int, cols: int, gain: float = 1.0) -> torch.Tensor:
    """A float32 base [rows, cols]: "hadamard" is `seeded_orthogonal`; "qr" and "gaussian" are for comparison.

    "qr" is a Haar-random orthonormal matrix along the shorter side, times gain; "gaussian" has independent
    normal entries of deviation gain / sqrt(larger side), which gives it the Frobenius norm of the other two
    on average. Both start from this module's integers, but logarithms, cosines and QR differ in their last
    bits between machines and thread counts, so an artifact that uses them loads only where it was made.
    Raises ConfigError as `integer_base` does, and for an unknown kind.
    """
    if kind == "hadamard":
        return seeded_orthogonal(seed, rows, cols, gain)
    if kind not in BASE_KINDS:
        raise ConfigError(f"base kind {kind!r}: there is none of that name; use {', '.join(BASE_KINDS)}.")
    _check(seed, rows, cols)
    larger, shorter = max(rows, cols), min(rows, cols)
    normals_NC = _normals(seed, larger * shorter).reshape(larger, shorter)
    if kind == "gaussian":
        base_NC = normals_NC / math.sqrt(larger)
    else:
        q_NC, r_CC = np.linalg.qr(normals_NC)
        # The sign choice that makes it Haar (Mezzadri 2007).
        base_NC = q_NC * np.where(np.diagonal(r_CC) < 0, -1.0, 1.0)
    base = base_NC.T if rows <= cols else base_NC
    return torch.from_numpy(np.ascontiguousarray(base * gain, dtype=np.float32))


def base_sha256(base: torch.Tensor) -> str:
    """SHA-256 in hex over the tensor's entries as little-endian float32, row by row."""
    entries = base.detach().to(device="cpu", dtype=torch.float32).contiguous().numpy()
    return hashlib.sha256(entries.astype("<f4", copy=False).tobytes()).hexdigest()


def _integer_chunks(seed: int, side: int, count: int) -> Iterator[tuple[int, int, _IntArray]]:
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


def _normals(seed: int, count: int) -> npt.NDArray[np.float64]:
    """Standard normals [count] by Box and Muller's transform; the last bits depend on the machine."""
    pairs = (count + 1) // 2
    uniform = (random_words(seed, 0, pairs) >> np.uint64(11)).astype(np.float64) + 0.5
    angle = (random_words(seed, 1, pairs) >> np.uint64(11)).astype(np.float64) * (2 * math.pi / (1 << 53))
    radius = np.sqrt(-2.0 * np.log(uniform / (1 << 53)))
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= _MASK:
        raise ConfigError(f"seed {seed}: does not fit 8 bytes; use a whole number from 0 to 2^64 - 1.")


def _check(seed: int, rows: int, cols: int) -> None:
    _check_seed(seed)
    for side, name in ((rows, "rows"), (cols, "columns")):
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
