"""The text form of the n-gram memory: sizes, edges, bad input, and integers alone in the compiled coder."""

from __future__ import annotations

import lzma
import re
import zlib
from collections.abc import Callable

import numba
import numpy as np
import pytest

from regrow.core.errors import NgramError
from regrow.core.jit import signature_of
from regrow.ngram.store import table_coder as tc
from regrow.ngram.store.text_coder import code_tokens
from regrow.ngram.store.text_form import decode_tokens, encode_tokens, encode_within

CODERS = (code_tokens, tc.members, tc.flags, tc.exacts, tc.values, tc.rests, tc.unigrams)


def _text(n: int, vocab: int, seed: int) -> np.ndarray:
    """A token stream of `n` tokens that repeats phrases with changes, by an integer generator alone."""
    state = seed
    tokens: list[int] = []
    while len(tokens) < n:
        state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        r = state >> 33
        if len(tokens) > 100 and r % 4:
            start = (r >> 4) % (len(tokens) - 20)
            tokens += tokens[start : start + r % 17 + 2]
        else:
            tokens.append(min((r >> 8) % vocab, (r >> 20) % vocab))
    return np.array(tokens[:n], np.uint16)


@pytest.mark.parametrize("vocab", [2, 3, 1024, 65536])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 500])
def test_short_streams_come_back(vocab: int, n: int) -> None:
    """Every length from empty up, at the smallest and largest vocabulary, decodes to what was encoded."""
    tokens = _text(n, vocab, seed=n + vocab)
    decoded = decode_tokens(encode_tokens(tokens, vocab))
    assert decoded.dtype == np.uint16
    assert np.array_equal(decoded, tokens)


def test_one_repeated_token_costs_almost_nothing() -> None:
    """A stream of a single token is a header."""
    tokens = np.full(100_000, 65535, np.uint16)
    data = encode_tokens(tokens, 65536)
    assert len(data) < 200
    assert np.array_equal(decode_tokens(data), tokens)


def test_every_token_of_a_large_vocabulary_comes_back() -> None:
    """A random permutation: nothing to predict, nothing lost, and hardly more than its raw bytes."""
    tokens = np.random.default_rng(1).permutation(65536).astype(np.uint16)
    data = encode_tokens(tokens, 65536)
    assert len(data) < 1.06 * tokens.nbytes
    assert np.array_equal(decode_tokens(data), tokens)


def test_smaller_than_zlib_and_lzma_on_text_that_repeats() -> None:
    """The point of the form: fewer bytes than general compressors make of the same tokens."""
    rng = np.random.default_rng(3)
    follows = rng.integers(0, 1024, (1024, 6))
    sentences = [[1] for _ in range(400)]
    for sentence in sentences:
        for choice in (rng.integers(0, 36, 20) ** 0.5).astype(int):
            sentence.append(int(follows[sentence[-1], choice]))
    tokens = np.array([t for i in rng.integers(0, 400, 8000) for t in sentences[i]], np.uint16)
    raw = tokens.tobytes()
    data = encode_tokens(tokens, 1024)
    assert np.array_equal(decode_tokens(data), tokens)
    assert len(data) < 0.9 * len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME))
    assert len(data) < 0.7 * len(zlib.compress(raw, 9))


def test_encoding_twice_gives_the_same_bytes() -> None:
    """Nothing of one call's state survives into the next."""
    tokens = _text(5000, 300, seed=9)
    assert encode_tokens(tokens, 300) == encode_tokens(tokens, 300)


def test_tokens_are_not_changed_by_encoding() -> None:
    """The caller's array is read only."""
    tokens = _text(1000, 50, seed=2)
    tokens.flags.writeable = False
    encode_tokens(tokens, 50)
    assert np.array_equal(tokens, _text(1000, 50, seed=2))


@pytest.mark.parametrize(
    ("tokens", "vocab", "says"),
    [
        (np.zeros(3, np.uint16), 1, "vocabulary size"),
        (np.zeros(3, np.uint16), 65537, "vocabulary size"),
        (np.zeros(3, np.int64), 16, "int64"),
        (np.zeros((3, 1), np.uint16), 16, "2 axes"),
        (np.array([16], np.uint16), 16, "token 16"),
    ],
)
def test_bad_tokens_are_refused_by_name(tokens: np.ndarray, vocab: int, says: str) -> None:
    """Each wrong argument is one sentence that names it."""
    with pytest.raises(NgramError, match=says):
        encode_tokens(tokens, vocab)


@pytest.mark.parametrize("coder", CODERS, ids=lambda coder: coder.__name__)
def test_the_compiled_coders_hold_no_float(coder: Callable[..., object]) -> None:
    """Integer arithmetic alone: no floating type, and no maths library, in the compiled code of either stored form."""
    compiled = numba.njit(signature_of(coder), nogil=True)(coder.__wrapped__)  # type: ignore[attr-defined]
    body = "\n".join(compiled.inspect_llvm().values())
    assert not re.search(r"\b(double|half|fadd|fmul|fdiv|fptosi|sitofp|uitofp)\b|\bfloat\b", body)


def test_a_long_text_is_stored_in_halves_where_they_fit() -> None:
    """Two cores decode a long text; a budget that only the whole holds gets that, a short text is not halved."""
    long = _text(1 << 19, 100, seed=4)
    whole, halves = len(encode_tokens(long, 100)), len(encode_tokens(long, 100, halves=True))
    assert whole < halves < 1.2 * whole
    assert encode_within(long, 100, halves)[:4] == b"RgT2"
    assert encode_within(long, 100, halves - 1)[:4] == b"RgT1"
    assert encode_within(long[:-1], 100, halves)[:4] == b"RgT1"
