"""Coded bytes are a promise: a stream written today decodes with every later release, on every machine.

A change here is a new stream format and a new version number in it, never an edited constant.
"""

from __future__ import annotations

import numpy as np
import pytest

from regrow.artifact.range_coder import Decoder, Encoder, spread_weights

WORDS = "e9000000142cc49521cd64d7fcaa8f951534a2e1"


def rows() -> np.ndarray:
    """24 rows over 7 symbols, from integers alone; every fifth gives nearly everything to one symbol."""
    mass = ((np.arange(24 * 7).reshape(24, 7) * 2654435761) % 1009 + 1).astype(np.float64)
    mass[::5] = [1e-12, 1, 0, 0, 0, 0, 0]
    return mass / mass.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_symbols_give_the_same_bytes(dtype: type) -> None:
    symbols = np.arange(24) * 5 % 7
    encoder = Encoder()
    encoder.push(symbols, rows().astype(dtype))
    assert encoder.finish().hex() == WORDS
    assert np.array_equal(Decoder(bytes.fromhex(WORDS)).pop(rows().astype(dtype)), symbols)


def test_the_same_probabilities_give_the_same_integer_model() -> None:
    assert spread_weights(rows()[:2])[0].astype(np.int64).tolist() == [
        [0, 16777209, 0, 0, 0, 0, 0],
        [4020374, 3479137, 2937938, 2396739, 1855540, 1314340, 773141],
    ]
