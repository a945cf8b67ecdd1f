"""The integer functions are as near to the real ones as docs/exact.md says."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from regrow.predict.exact import functions, rows
from regrow.predict.exact.streams import cos_turns, rotary
from regrow.predict.exact.tables import packed_tanh, rotary_turns, tables

root, bit_length = numba.njit(functions.root), numba.njit(functions.bit_length)
log2_fixed, tanh_packed = numba.njit(functions.log2_fixed), numba.njit(functions.tanh_packed)
log2_of_probability = numba.njit(rows.log2_of_probability)


def test_tables_hold_the_nearest_integers() -> None:
    t = tables()
    for table, exact in (
        (t.exp2, [2.0**22 * 2 ** (-i / 1024) for i in range(1024)]),
        (t.log2, [65536 * math.log2(1 + i / 256) for i in range(257)]),
        (t.tanh, [32768 * math.tanh(i / 128) for i in range(1025)]),
        (t.cos, [16384 * math.cos(2 * math.pi * i / 1024) for i in range(1025)]),
    ):
        assert np.abs(table - np.array(exact)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    "n", [0, 1, 2, 3, 4, 8, 2**31 - 1, 2**52 - 1, 2**52, (2**31 - 1) ** 2 - 1, 2**62 - 1]
)
def test_root_and_bit_length_are_exact(n: int) -> None:
    assert root(n) == math.isqrt(n)
    assert bit_length(n) == n.bit_length()


def test_log2_is_within_a_unit() -> None:
    numbers = [*range(1, 2000), *(int(1.37**k) for k in range(1, 136)), 2**62 - 1]
    assert max(abs(log2_fixed(n, tables().log2) - 65536 * math.log2(n)) for n in numbers) < 1


def test_tanh_is_within_a_unit_and_odd() -> None:
    table = packed_tanh()
    for t in range(-(9 << 16), 9 << 16, 997):
        assert abs(tanh_packed(t, table) - 32768 * math.tanh(t / 65536)) <= 1.5
        assert tanh_packed(-t, table) == -tanh_packed(t, table)


def test_probabilities_of_every_size_have_their_logarithm() -> None:
    table = tables().log2
    for p in (1.0, 0.5, 0.3, 1e-9, 1e-20, 1e-38):
        assert (
            abs(log2_of_probability(np.float32(p), table) - 1024 * math.log2(np.float32(p))) < 0.6
            or p < 1e-19
        )
    assert log2_of_probability(np.float32(1e-45), table) == rows.LEAST
    assert log2_of_probability(np.float32(0), table) == rows.LEAST


def test_angles_stay_exact_far_into_a_stream() -> None:
    turns = rotary_turns(16)
    for start in (0, 1000, 10**6):
        cos, sin = rotary(turns, start, 3)
        angle = np.arange(start, start + 3)[:, None] * 10000.0 ** (-np.arange(8) / 8)
        assert np.abs(cos - 16384 * np.cos(angle)).max() < 1.5
        assert np.abs(sin - 16384 * np.sin(angle)).max() < 1.5
    assert cos_turns(np.zeros(1, np.uint64))[0] == 16384
