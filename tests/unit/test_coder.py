"""The range coder: rows are checked, the integer model is ours, and what was pushed is popped."""

from __future__ import annotations

import constriction
import numpy as np
import pytest

from regrow.artifact.range_coder import (
    TOTAL,
    Decoder,
    Encoder,
    bytes_to_words,
    spread_weights,
    words_to_bytes,
)
from regrow.core.errors import ProofError, StreamError


def softmax_rows(size: int, vocabulary: int, seed: int = 0, temperature: float = 3.0) -> np.ndarray:
    logits = np.random.default_rng(seed).standard_normal((size, vocabulary)).astype(np.float32) * temperature
    probs = np.exp(logits)
    return (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)


def draw(probs: np.ndarray, seed: int = 1) -> np.ndarray:
    cumulative = np.cumsum(probs, axis=1, dtype=np.float64)
    points = np.random.default_rng(seed).random((len(probs), 1)) * cumulative[:, -1:]
    return np.minimum((cumulative < points).sum(axis=1), probs.shape[1] - 1).astype(np.int32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_come_back_in_order_whatever_their_sizes(dtype: type) -> None:
    probs: np.ndarray = softmax_rows(300, 100).astype(dtype)
    symbols = draw(probs)
    encoder = Encoder()
    for start, stop in ((0, 1), (1, 1), (1, 200), (200, 300)):
        encoder.push(symbols[start:stop], probs[start:stop])
    decoder = Decoder(encoder.finish())
    popped = [decoder.pop(probs[start:stop]) for start, stop in ((0, 150), (150, 299), (299, 300))]
    assert np.array_equal(np.concatenate(popped), symbols)
    assert encoder.symbols == 300


def test_the_code_is_within_five_hundredths_of_a_percent_of_the_ideal() -> None:
    probs = softmax_rows(20_000, 64)
    symbols = draw(probs)
    encoder = Encoder()
    encoder.push(symbols, probs)
    given = probs[np.arange(len(symbols)), symbols].astype(np.float64)
    assert encoder.ideal_bits == pytest.approx(-np.log2(given).sum(), rel=1e-12)
    assert encoder.ideal_bits < 8 * len(encoder.finish()) < 1.0005 * encoder.ideal_bits + 64


@pytest.mark.parametrize("vocabulary", [2, 257, 1024, 8192])
def test_the_integer_model_costs_next_to_nothing_in_expectation(vocabulary: int) -> None:
    probs = softmax_rows(16, vocabulary)
    weights, _ = spread_weights(probs)
    model = (weights.astype(np.float64) + 1) / TOTAL
    entropy = -(probs * np.log2(probs)).sum(dtype=np.float64)
    assert -(probs * np.log2(model)).sum(dtype=np.float64) < 1.0005 * entropy


@pytest.mark.parametrize("vocabulary", [2, 3, 16, 1000, 65536])
def test_weights_are_whole_numbers_that_sum_to_what_constriction_spreads(vocabulary: int) -> None:
    """Its scale is then exactly 1 and its sums exact: the model it uses is the one made here."""
    probs = softmax_rows(8, vocabulary, temperature=5.0)
    for scale in (1.0, 1 + 9e-7, 1 - 9e-7):
        weights, error = spread_weights(probs.astype(np.float64) * scale)
        assert error <= 1e-6
        assert np.array_equal(weights, np.floor(weights)) and weights.min() >= 0
        assert (weights.astype(np.int64).sum(axis=1) == TOTAL - vocabulary).all()


def test_the_stream_is_the_one_of_the_integer_model() -> None:
    """A symbol's interval, passed to constriction as the middle one of three, gives the same bytes."""
    probs = softmax_rows(200, 50)
    symbols = np.clip(draw(probs), 1, 48)
    frequencies = spread_weights(probs)[0].astype(np.int64) + 1
    below = np.array([row[:symbol].sum() for row, symbol in zip(frequencies, symbols, strict=True)])
    within = frequencies[np.arange(200), symbols]
    weights = np.stack([below, within, TOTAL - below - within], axis=1).astype(np.float32) - 1
    assert (weights >= 0).all()
    encoder = Encoder()
    encoder.push(symbols, probs)
    reference = constriction.stream.queue.RangeEncoder()
    model_family = constriction.stream.model.Categorical(perfect=False)
    reference.encode(np.ones(200, dtype=np.int32), model_family, weights)
    assert encoder.finish() == words_to_bytes(reference.get_compressed())


def test_a_symbol_of_probability_zero_is_coded_at_24_bits() -> None:
    probs = np.zeros((40, 4), dtype=np.float32)
    probs[:, 0] = 1
    symbols = np.full(40, 3)
    encoder = Encoder()
    encoder.push(symbols, probs)
    assert encoder.ideal_bits == 40 * 24
    assert len(encoder.finish()) == pytest.approx(40 * 3, abs=8)
    assert np.array_equal(Decoder(encoder.finish()).pop(probs), symbols)


BAD_ROWS = {
    "sums to 0.99": [0.49, 0.5, 0.0],
    "sums to 1.001": [0.5, 0.5, 0.001],
    "sums to 2": [1.0, 1.0, 0.0],
    "negative entry -0.1": [0.6, 0.5, -0.1],
    "not finite": [0.5, float("nan"), 0.5],
    "sums to 0,": [0.0, 0.0, 0.0],
}


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_a_row_that_is_no_distribution_is_refused_by_both_sides_with_its_number(fault: str) -> None:
    probs = np.array([[0.25, 0.25, 0.5], BAD_ROWS[fault]], dtype=np.float32)
    encoder = Encoder()
    with pytest.raises(ProofError, match=f"row 1: .*{fault}"):
        encoder.push(np.array([0, 0]), probs)
    assert encoder.finish() == b"" and encoder.symbols == 0
    with pytest.raises(ProofError, match=f"row 1: .*{fault}"):
        Decoder(b"\x00" * 8).pop(probs)


def test_infinite_entries_are_refused() -> None:
    for entry in (np.inf, -np.inf):
        with pytest.raises(ProofError, match="not finite"):
            spread_weights(np.array([[entry, 1.0, 0.0]], dtype=np.float64))


def test_the_worst_row_sum_error_is_kept() -> None:
    encoder, decoder = Encoder(), Decoder(b"\x00" * 8)
    for coder_error in (0.0, 7e-7, -3e-7):
        row = np.array([[0.25, 0.75 + coder_error]], dtype=np.float64)
        encoder.push(np.array([0]), row)
        decoder.pop(row)
    assert encoder.max_abs_row_sum_error == pytest.approx(7e-7, rel=1e-6)
    assert decoder.max_abs_row_sum_error == encoder.max_abs_row_sum_error


@pytest.mark.parametrize("symbol", [-1, 3, 1 << 40])
def test_a_symbol_outside_the_vocabulary_is_refused_by_value(symbol: int) -> None:
    with pytest.raises(StreamError, match=f"symbol {symbol}: .*vocabulary of 3"):
        Encoder().push(np.array([0, symbol]), np.full((2, 3), 1 / 3))


def test_shapes_and_types_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="float matrix"):
        spread_weights(np.full(4, 0.25))
    with pytest.raises(ValueError, match="float matrix"):
        spread_weights(np.full((1, 4), 0.25, dtype=np.float16))
    with pytest.raises(ValueError, match="vocabulary of 1"):
        spread_weights(np.ones((3, 1)))
    with pytest.raises(ValueError, match="2 rows"):
        Encoder().push(np.array([0]), np.full((2, 4), 0.25))


def test_bytes_that_are_no_whole_words_are_refused() -> None:
    with pytest.raises(StreamError, match="5 bytes are not a whole number of words"):
        Decoder(b"abcde")


def test_words_are_little_endian_on_every_machine() -> None:
    assert bytes_to_words(b"\x01\x02\x03\x04").tolist() == [0x04030201]


def test_an_empty_stream_is_no_bytes() -> None:
    assert Encoder().finish() == b""
    assert Decoder(b"").pop(np.empty((0, 5), dtype=np.float32)).tolist() == []


def test_finish_may_be_asked_again_and_coding_goes_on() -> None:
    probs = softmax_rows(20, 10)
    symbols = draw(probs)
    whole, parts = Encoder(), Encoder()
    whole.push(symbols, probs)
    parts.push(symbols[:9], probs[:9])
    assert parts.finish() == parts.finish()
    parts.push(symbols[9:], probs[9:])
    assert parts.finish() == whole.finish()
