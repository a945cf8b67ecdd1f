"""Whatever the rows and symbols, decoding gives back what was encoded; whatever the bytes, decoding ends."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrow.artifact.range_coder import TOTAL, Decoder, Encoder, spread_weights
from regrow.core.errors import StreamError


@st.composite
def batches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Symbols and rows with extremes: zeros, one entry that takes all, entries below the coder's least."""
    size, vocabulary = draw(st.integers(1, 12)), draw(st.integers(2, 40))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    exponents = draw(hnp.arrays(np.float64, (size, vocabulary), elements=st.floats(-80, 0)))
    mass = np.exp2(exponents) * draw(hnp.arrays(np.bool_, (size, vocabulary)))
    mass[:, draw(st.integers(0, vocabulary - 1))] += 1e-30
    probs = (mass / mass.sum(axis=1, keepdims=True)).astype(dtype)
    symbols = draw(hnp.arrays(np.int32, size, elements=st.integers(0, vocabulary - 1)))
    return symbols, probs


@given(batches())
def test_every_symbol_comes_back(batch: tuple[np.ndarray, np.ndarray]) -> None:
    symbols, probs = batch
    encoder = Encoder()
    encoder.push(symbols, probs)
    encoder.push(symbols[::-1], probs[::-1].copy())
    decoder = Decoder(encoder.finish())
    assert np.array_equal(decoder.pop(probs), symbols)
    assert np.array_equal(decoder.pop(probs[::-1].copy()), symbols[::-1])


@given(batches())
def test_weights_always_sum_exactly_and_keep_the_order_of_magnitude(
    batch: tuple[np.ndarray, np.ndarray],
) -> None:
    probs = batch[1]
    weights, _ = spread_weights(probs)
    free = TOTAL - probs.shape[1]
    assert (weights.astype(np.int64).sum(axis=1) == free).all() and weights.min() >= 0
    likeliest = weights == weights.max(axis=1, keepdims=True)
    assert (np.abs(weights - probs * free) <= np.where(likeliest, probs.shape[1] + 64, 40)).all()


@given(st.binary(max_size=64), batches())
def test_any_bytes_decode_to_symbols_of_the_vocabulary_or_to_an_error(
    data: bytes, batch: tuple[np.ndarray, np.ndarray]
) -> None:
    """Altered or invented streams must neither crash, nor hang, nor give symbols outside a table."""
    probs = batch[1]
    try:
        decoder = Decoder(data)
        for _ in range(20):
            symbols = decoder.pop(probs)
            assert symbols.min() >= 0 and symbols.max() < probs.shape[1]
    except StreamError:
        pass
