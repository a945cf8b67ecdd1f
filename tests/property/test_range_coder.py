"""The range coder: what was coded comes back, in about the bits it should take, and damage is never a crash."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from regrow.artifact.range_coder import TOTAL, RangeDecoder, RangeEncoder
from regrow.core.errors import StreamError


def coded(frequency: NDArray[np.int64], symbols: NDArray[np.int64], cuts: list[int]) -> RangeEncoder:
    """The symbols pushed in batches that end at `cuts`."""
    encoder, start, rows = RangeEncoder(), np.cumsum(frequency, axis=1) - frequency, np.arange(len(symbols))
    for part in np.split(rows, sorted(cuts)):
        encoder.push(start[part, symbols[part]], frequency[part, symbols[part]])
    return encoder


@st.composite
def batches(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frequencies [N, V] from flat to one symbol with nearly all, and a symbol for each row, likely or not."""
    size, vocab = draw(st.integers(0, 60)), draw(st.integers(2, 200))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    shares = generator.dirichlet(np.full(vocab, draw(st.sampled_from([0.01, 0.3, 10.0]))), size=size)
    frequency = np.floor(shares * (TOTAL - vocab)).astype(np.int64) + 1
    frequency[np.arange(size), frequency.argmax(axis=1)] += TOTAL - frequency.sum(axis=1)
    return frequency, generator.integers(0, vocab, size)


@given(batch=batches(), cuts=st.lists(st.integers(0, 60), max_size=3))
def test_every_symbol_comes_back_from_words_and_from_bytes(
    batch: tuple[NDArray[np.int64], NDArray[np.int64]], cuts: list[int]
) -> None:
    frequency, symbols = batch
    encoder = coded(frequency, symbols, cuts)
    assert np.array_equal(RangeDecoder(encoder.finish()).pop(frequency), symbols)
    decoder = RangeDecoder(encoder.words())
    half = len(symbols) // 2
    both = np.concatenate((decoder.pop(frequency[:half]), decoder.pop(frequency[half:])))
    assert np.array_equal(both, symbols) and decoder.exhausted()


@given(batch=batches())
def test_the_bytes_are_the_ideal_bits_and_at_most_one_byte_and_a_half(
    batch: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    frequency, symbols = batch
    ideal = -np.log2(frequency[np.arange(len(symbols)), symbols] / TOTAL).sum() / 8
    assert len(coded(frequency, symbols, []).finish()) <= ideal + 1.5


@given(data=st.binary(max_size=60), batch=batches())
def test_any_bytes_decode_to_symbols_or_to_an_error(
    data: bytes, batch: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> None:
    frequency, _ = batch
    try:
        symbols = RangeDecoder(data).pop(frequency)
    except StreamError:
        return
    assert not len(symbols) or (symbols.min() >= 0 and symbols.max() < frequency.shape[1])


@pytest.mark.parametrize("interval", [(-1, 5), (0, 0), (TOTAL - 1, 2)])
def test_an_impossible_interval_is_refused(interval: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="empty or outside"):
        RangeEncoder().push(np.array([interval[0]]), np.array([interval[1]]))


def test_nothing_is_no_bytes_and_more_may_be_pushed_after_words() -> None:
    encoder = RangeEncoder()
    assert encoder.finish() == b"" and encoder.words().size == 0
    encoder.push(np.array([5]), np.array([7]))
    encoder.words()
    encoder.push(np.array([5]), np.array([7]))
    frequency = np.array([[5, 7, TOTAL - 12]] * 2)
    assert RangeDecoder(encoder.finish()).pop(frequency).tolist() == [1, 1]
