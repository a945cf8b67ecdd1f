"""Any bytes come back from the tokenizer, whatever text it was trained on."""

from __future__ import annotations

from functools import cache

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from regrow.core.errors import TokenizerError
from regrow.data.tokenizer import Tokenizer

# What SentencePiece, UTF-8 or our own renaming might trip over.
NASTY = [
    b"\x00", b"\r\n", b"\n", b"\n\n", b" ", b"  ", b"\t", b"\x10", b"\x11", b"\x12", b"\x0c", b"\x7f",
    "\u2581".encode(), "\u2585".encode(), "\ufffd".encode(), "\ufeff".encode(), "\u00a0".encode(),
    "\U0010ffff".encode(), "\ue000".encode(), "e\u0301".encode(), "é".encode(), "ﬁ".encode(), b"\x85",
    b"\xed\xa0\x80", b"\xed\xb2\x80", b"\xc0\x80", b"\xe2\x96", b"\xf0\x9f", b"\xff", b"\xfe", b"\x80",
    b"<unk>", b"<s>", b"</s>", b"<0x41>", b"the", b" people", b"United States", b"1862",
    b".\n\n", b"...", b"_", "—".encode(), "\u2028".encode(),
]  # fmt: skip
snippets = st.sampled_from(NASTY) | st.binary(max_size=6) | st.text(max_size=6).map(str.encode)
mixtures = st.lists(snippets).map(b"".join)


@cache
def tokenizers() -> list[Tokenizer]:
    """Trained on English, on the nasty bytes themselves, and on nothing."""
    english = b"The people of the United States, in 1862, and the peoples of other states.\n\n" * 30
    nasty = b"".join(a + b + a for a in NASTY for b in NASTY)
    return [Tokenizer.train([english], 330), Tokenizer.train([nasty, english], 420), Tokenizer.train([], 257)]


@pytest.mark.parametrize("which", range(3))
@settings(max_examples=300)
@given(data=st.binary(max_size=300) | mixtures)
def test_any_bytes_come_back_and_bos_is_never_made(which: int, data: bytes) -> None:
    """Decode undoes encode for random bytes and mixtures of everything that is known to go wrong."""
    tokenizer = tokenizers()[which]
    ids = tokenizer.encode(data)
    assert tokenizer.decode(ids) == data
    assert (ids != tokenizer.bos_id).all()
    assert (ids < tokenizer.vocab_size).all()
    assert b"".join(tokenizer.token_bytes[i] for i in ids) == data


@settings(max_examples=100)
@given(texts=st.lists(mixtures, max_size=4), size=st.integers(257, 320), data=mixtures)
def test_any_training_text_gives_a_lossless_tokenizer_or_one_sentence(
    texts: list[bytes], size: int, data: bytes
) -> None:
    """Training on anything at all works, or says what vocabulary would; payload and bytes come back."""
    try:
        tokenizer = Tokenizer.train(texts, size)
    except TokenizerError as error:
        assert "data.vocab_size" in str(error)
        return
    assert tokenizer.vocab_size == size
    again = Tokenizer.from_bytes(tokenizer.to_bytes())
    for text in [*texts, data]:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert again.encode(text).tolist() == ids.tolist()
