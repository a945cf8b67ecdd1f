"""Coded bytes are a promise: a stream written today decodes with every later release, on every machine.

A change here is a new stream format and a new version number in it, never an edited constant. The words are those that
constriction 0.5 gives for the same frequencies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.range_coder import TOTAL, RangeDecoder, RangeEncoder

WORDS = "e9000000142cc49521cd64d7fcaa8f951534a2e1"
BYTES = "000000e995c42c14d764cd21958faafce1a236"


def rows() -> NDArray[np.int64]:
    """24 rows of frequencies over 7 symbols, from integers alone; every fifth gives nearly everything to one symbol."""
    mass = ((np.arange(24 * 7).reshape(24, 7) * 2654435761) % 1009 + 1).astype(np.float64)
    mass[::5] = [1e-12, 1, 0, 0, 0, 0, 0]
    probs = (mass / mass.sum(axis=1, keepdims=True)).astype(np.float32)
    free = TOTAL - 7
    weights = np.floor(probs * np.float32(free * (1 - 2e-6))).astype(np.int64)
    weights[np.arange(24), weights.argmax(axis=1)] += free - weights.sum(axis=1)
    return weights + 1


def test_the_same_symbols_give_the_same_words_and_bytes() -> None:
    symbols, frequency = np.arange(24) * 5 % 7, rows()
    start = np.cumsum(frequency, axis=1) - frequency
    encoder, at = RangeEncoder(), np.arange(24)
    encoder.push(start[at, symbols], frequency[at, symbols])
    assert encoder.words().astype("<u4").tobytes().hex() == WORDS
    assert encoder.finish().hex() == BYTES
    for data in (encoder.finish(), np.frombuffer(bytes.fromhex(WORDS), "<u4").astype(np.uint32)):
        assert np.array_equal(RangeDecoder(data).pop(frequency), symbols)
