"""The stored bytes are a promise: an artifact packed by an earlier version must decode in this one."""

from __future__ import annotations

import hashlib

import numpy as np

from regrow.ngram.store.text_form import decode_tokens, encode_tokens

# A change here is a new format: it needs a new magic number and a reader for the old one.
HALVES_SHA256 = "365c41a2378c6997ad46e7daf54894b555236225cf43d6d4432293d3ca95888f"
GOLDEN_SHA256 = "e741988a3b81b6ffb87da0de57ba2987ebc3b929a7f6f8624e4d81535686dcc9"


def _corpus() -> np.ndarray:
    """20,000 tokens below 1,000 that copy earlier phrases, by integer arithmetic alone."""
    state = 12345
    tokens: list[int] = [1]
    while len(tokens) < 20_000:
        state = (state * 1103515245 + 12345) % 2**31
        r = state >> 8
        if r % 5 and len(tokens) > 50:
            start = (r >> 3) % (len(tokens) - 12)
            tokens += tokens[start : start + 3 + r % 9]
        else:
            tokens.append(r % 31 * (r >> 12) % 1000)
    return np.array(tokens[:20_000], np.uint16)


def test_the_encoded_bytes_have_not_moved() -> None:
    """SHA-256 of a fixed corpus's text form, and the corpus back from it."""
    data = encode_tokens(_corpus(), 1000)
    assert hashlib.sha256(data).hexdigest() == GOLDEN_SHA256
    assert np.array_equal(decode_tokens(data), _corpus())


def test_the_encoded_halves_have_not_moved() -> None:
    """The same of the text form in halves."""
    data = encode_tokens(_corpus(), 1000, halves=True)
    assert hashlib.sha256(data).hexdigest() == HALVES_SHA256
    assert np.array_equal(decode_tokens(data), _corpus())
