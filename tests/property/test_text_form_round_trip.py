"""Any tokens below any vocabulary size come back from their text form."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.ngram.store.text_form import decode_tokens, encode_tokens


@st.composite
def _streams(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    vocab = draw(st.one_of(st.integers(2, 40), st.integers(2, 65536)))
    words = draw(st.lists(st.lists(st.integers(0, vocab - 1), max_size=12), min_size=1, max_size=8))
    order = draw(st.lists(st.integers(0, len(words) - 1), max_size=60))
    tokens = [token for i in order for token in words[i]]
    return np.array(tokens, np.uint16), vocab


@settings(max_examples=200, deadline=None)
@given(_streams(), st.booleans())
def test_round_trip(case: tuple[np.ndarray, int], halves: bool) -> None:
    """Streams of repeated phrases, of any vocabulary from 2 to 65,536, decode to themselves, whole or in
    halves."""
    tokens, vocab = case
    assert np.array_equal(decode_tokens(encode_tokens(tokens, vocab, halves=halves)), tokens)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 16), st.integers(1, 3000))
def test_round_trip_of_noise(seed: int, bits: int, n: int) -> None:
    """Streams without structure, of skewed or flat counts, decode to themselves."""
    rng = np.random.default_rng(seed)
    tokens = (rng.integers(0, 1 << bits, n) >> rng.integers(0, bits + 1, n)).astype(np.uint16)
    assert np.array_equal(decode_tokens(encode_tokens(tokens, 1 << bits)), tokens)
