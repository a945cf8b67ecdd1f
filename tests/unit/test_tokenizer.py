"""The tokenizer: its ids, its training, its payload."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from regrow.core.errors import TokenizerError
from regrow.data.tokenizer import Tokenizer
from regrow.data.tokenizer.text import WORDS

TEXT = (
    b"The people of the United States, and the Congress of the United States, have recommended measures.\n\n"
    b"In 1862 the commended measures were again recommended; the peoples' congresses commend them.\n"
) * 20 + "Über die Größe: ½ — größer.\r\n".encode() * 9


@cache
def tokenizer() -> Tokenizer:
    """One for all tests that only read it."""
    return Tokenizer.train([TEXT], 400)


def test_ids_are_bytes_then_pieces_with_bos_between() -> None:
    """Id 0 is byte 0, 1 is BOS and nothing, 2 to 256 are bytes 1 to 255, the rest are longer pieces."""
    table = tokenizer().token_bytes
    assert len(table) == tokenizer().vocab_size == 400
    assert [*table[:1], *table[2:257]] == [bytes([b]) for b in range(256)]
    assert (tokenizer().bos_id, table[1]) == (1, b"")
    assert min(map(len, table[257:])) >= 2
    assert len(set(table)) == 400


def test_bos_decodes_to_nothing() -> None:
    """BOS marks a start; decoding through it gives the text alone."""
    ids = tokenizer().encode(b"the people")
    assert tokenizer().decode([1, *ids.tolist(), 1]) == b"the people"


def test_tokens_are_16_bit_and_fewer_than_bytes() -> None:
    """Known text costs clearly fewer tokens than bytes, known letters of two bytes included."""
    ids = tokenizer().encode(TEXT)
    assert ids.dtype == np.uint16
    assert len(ids) < len(TEXT) / 4
    assert len(tokenizer().encode("ö".encode())) == 1


def test_empty_input_is_no_tokens() -> None:
    """Nothing in, nothing out, both ways."""
    assert tokenizer().encode(b"").tolist() == []
    assert tokenizer().decode([]) == b""


def test_no_piece_reaches_across_words() -> None:
    """A word is one sequence of tokens whatever follows it: no piece holds a word and what comes after."""
    for piece in tokenizer().token_bytes[257:]:
        # A space before the word, or line ends after signs, are part of the same match.
        assert WORDS.fullmatch(piece.decode()), piece


def test_pieces_that_are_only_steps_have_no_id() -> None:
    """What is hardly used but on the way to longer pieces takes no id, and yet the longer ones are made."""
    # "abc" becomes "ab", then "abc"; "ab" itself stands nowhere.
    trained = Tokenizer([b"ab", b"abc"], steps=[b"ab"])
    assert trained.token_bytes[257:] == [b"abc"]
    assert trained.encode(b"abcab").tolist() == [257, ord("a") + 1, ord("b") + 1]
    # And training finds such steps.
    found = Tokenizer.train([b"recommend congress national " * 50], 275)
    assert found.vocab_size == 275
    assert found.to_bytes() != Tokenizer(found.token_bytes[257:]).to_bytes()


def test_training_depends_on_the_text_alone() -> None:
    """Fresh processes with other hash seeds give the same payload, byte for byte."""
    code = (
        "import sys; from regrow.data.tokenizer import Tokenizer\n"
        "print(Tokenizer.train([sys.stdin.buffer.read()], 400).to_bytes().hex())"
    )
    for seed in "01", "4242":
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=TEXT,
            capture_output=True,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
        )
        assert done.stdout.decode().strip() == tokenizer().to_bytes().hex()


def test_training_does_not_depend_on_the_order_of_texts() -> None:
    """Ties between equally frequent merges are broken by spelling, not by which came first."""
    words = [b"qx\n", b"zy\n", b"ab\n", b"vw\n", b"mn\n"]
    assert len({Tokenizer.train(words[i:] + words[:i], 259).to_bytes() for i in range(5)}) == 1


def test_a_payload_gives_the_same_tokenizer() -> None:
    """`from_bytes` restores tokens, table and payload."""
    again = Tokenizer.from_bytes(tokenizer().to_bytes())
    assert again.token_bytes == tokenizer().token_bytes
    assert again.to_bytes() == tokenizer().to_bytes()
    assert again.sha256 == tokenizer().sha256
    assert np.array_equal(again.encode(TEXT), tokenizer().encode(TEXT))


def test_bytes_alone_need_no_training() -> None:
    """At 257 there is no room for pieces: any corpus, even none, gives the byte tokenizer."""
    plain = Tokenizer.train([], 257)
    assert plain.encode(b"\x00\x01 \n\xff").tolist() == [0, 2, 33, 11, 256]
    assert len(plain.to_bytes()) < 20


@pytest.mark.parametrize("text", [b"", b"a", b"aaaa bbbb", b"To be, or not to be: that is it.\n" * 5])
def test_too_large_a_vocabulary_names_the_largest_possible(text: bytes) -> None:
    """The sentence names the key and a number, and with that number it works."""
    with pytest.raises(TokenizerError, match=r"^data\.vocab_size is 1024.* to [0-9]+\.$") as caught:
        Tokenizer.train([text], 1024)
    possible = int(str(caught.value).rstrip(".").split()[-1])
    assert 257 <= possible < 1024
    small = Tokenizer.train([text], possible)
    assert small.vocab_size == possible
    assert small.decode(small.encode(text)) == text


@pytest.mark.parametrize("size", [0, 256, 65537])
def test_a_vocabulary_that_no_text_could_give_is_refused(size: int) -> None:
    """Fewer ids than bytes, or more than 16 bits hold."""
    with pytest.raises(TokenizerError, match=r"at least 257 .* at most 65536"):
        Tokenizer.train([TEXT], size)


@pytest.mark.parametrize("token", [-1, 400, 65535])
def test_decoding_a_token_of_another_tokenizer_is_refused(token: int) -> None:
    """An id outside the vocabulary is named, not guessed."""
    with pytest.raises(TokenizerError, match=f"token {token} is outside"):
        tokenizer().decode(np.array([5, token]))


def test_a_line_of_a_megabyte_is_cut_and_comes_back() -> None:
    """Text without line ends or spaces is cut by length, and nothing is lost at the cuts."""
    text = ("größer" * 200_000).encode()
    assert tokenizer().decode(tokenizer().encode(text)) == text


def test_where_a_text_is_cut_does_not_show_in_its_tokens() -> None:
    """Long text is worked through in stretches; its tokens are those of its lines, one by one."""
    line = b"The people of the United States recommended measures.\n"
    one = tokenizer().encode(line)
    assert np.array_equal(tokenizer().encode(line * 1000), np.tile(one, 1000))
