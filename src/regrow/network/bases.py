"""Frozen bases in float32: the artifact stores eight bytes, never the matrix. torch is loaded where a tensor is made.

`regrow.network.hadamard` makes the integers; the one step left is a float32 multiplication by one constant, so the
bits depend on neither platform, thread count nor library version, which no QR decomposition can promise.

Shape suffixes: N side of the square, C vectors worked on at once, R rows, K columns.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from regrow.core.errors import ConfigError
from regrow.network.hadamard import block_and_rounds, checked_base, integer_chunks, random_words

if TYPE_CHECKING:
    import torch

BaseKind = Literal["hadamard", "qr", "gaussian"]
BASE_KINDS: tuple[BaseKind, ...] = ("hadamard", "qr", "gaussian")


def seeded_uniform(seed: int, rows: int, cols: int, bound: float) -> torch.Tensor:
    """A float32 tensor [rows, cols], uniform on 2^24 evenly spaced points within +-bound, by seed alone."""
    words = random_words(seed, 0, rows * cols) >> np.uint64(40)
    odd = words.astype(np.int64) * 2 + (1 - (1 << 24))  # odd numbers below 2^24 in size: exact in float32
    values = odd.astype(np.float32) * np.float32(bound / (1 << 24))
    return _tensor(values.reshape(rows, cols))


def seeded_orthogonal(seed: int, rows: int, cols: int, gain: float = 1.0) -> torch.Tensor:
    """A float32 tensor [rows, cols], a function of its arguments alone, with the same bits on every machine.

    Orthonormal along the shorter side, times `gain`: all singular values equal `gain`. It is the slice of
    the square of the larger side that is needed, and only that slice is computed. Raises ConfigError as
    `integer_base` does.
    """
    return _tensor(_orthogonal(seed, rows, cols, gain))


def seeded_base(kind: BaseKind, seed: int, rows: int, cols: int, gain: float = 1.0) -> torch.Tensor:
    """`base_array` as a tensor."""
    return _tensor(base_array(kind, seed, rows, cols, gain))


def base_array(kind: BaseKind, seed: int, rows: int, cols: int, gain: float = 1.0) -> npt.NDArray[np.float32]:
    """A float32 base [rows, cols]: "hadamard" is `seeded_orthogonal`; "qr" and "gaussian" are for comparison.

    "qr" is a Haar-random orthonormal matrix along the shorter side, times gain; "gaussian" has independent
    normal entries of deviation gain / sqrt(larger side), which gives it the Frobenius norm of the other two
    on average. Both start from this module's integers, but logarithms, cosines and QR differ in their last
    bits between machines and thread counts, so an artifact that uses them loads only where it was made.
    Raises ConfigError as `integer_base` does, and for an unknown kind.
    """
    if kind == "hadamard":
        return _orthogonal(seed, rows, cols, gain)
    if kind not in BASE_KINDS:
        raise ConfigError(f"base kind {kind!r}: there is none of that name; use {', '.join(BASE_KINDS)}.")
    seed, rows, cols = checked_base(seed, rows, cols)
    larger, shorter = max(rows, cols), min(rows, cols)
    normals_NC = _normals(seed, larger * shorter).reshape(larger, shorter)
    if kind == "gaussian":
        base_NC = normals_NC / math.sqrt(larger)
    else:
        q_NC, r_CC = np.linalg.qr(normals_NC)
        # The sign choice that makes it Haar (Mezzadri 2007).
        base_NC = q_NC * np.where(np.diagonal(r_CC) < 0, -1.0, 1.0)
    base = base_NC.T if rows <= cols else base_NC
    return np.ascontiguousarray(base * gain, dtype=np.float32)


def base_sha256(base: npt.ArrayLike) -> str:
    """SHA-256 in hex over the entries (of an array, or of a tensor on the CPU) as little-endian float32, row by row."""
    return hashlib.sha256(np.ascontiguousarray(base, dtype="<f4").tobytes()).hexdigest()


def _orthogonal(seed: int, rows: int, cols: int, gain: float) -> npt.NDArray[np.float32]:
    seed, rows, cols = checked_base(seed, rows, cols)
    block, rounds = block_and_rounds(max(rows, cols))
    scale = np.float32(gain / math.sqrt(block**rounds))
    out = np.empty((rows, cols), dtype=np.float32)
    vectors_NC = out.T if rows <= cols else out
    for start, stop, chunk_NC in integer_chunks(seed, max(rows, cols), min(rows, cols)):
        # Integers to 2^24 are exact in float32, so the multiplication rounds each entry once and only once.
        exact_NC = chunk_NC.astype(np.float32)
        exact_NC *= scale
        vectors_NC[:, start:stop] = exact_NC
    return out


def _tensor(array: npt.NDArray[np.float32]) -> torch.Tensor:
    import torch

    return torch.from_numpy(array)


def _normals(seed: int, count: int) -> npt.NDArray[np.float64]:
    """Standard normals [count] by Box and Muller's transform; the last bits depend on the machine."""
    pairs = (count + 1) // 2
    uniform = (random_words(seed, 0, pairs) >> np.uint64(11)).astype(np.float64) + 0.5
    angle = (random_words(seed, 1, pairs) >> np.uint64(11)).astype(np.float64) * (2 * math.pi / (1 << 53))
    radius = np.sqrt(-2.0 * np.log(uniform / (1 << 53)))
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
