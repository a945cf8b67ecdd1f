"""The challenge's count of bytes, against cases worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tests.shard_files import TEXTS, model

from regrow.challenge.official_bytes import (
    OfficialCount,
    byte_table,
    foreign_byte_table,
    official_bpb,
    official_byte_count,
    official_count,
)
from regrow.data.shards.foreign_tokenizer import ForeignVocabulary, load_foreign
from regrow.data.tokenizer import Tokenizer

TOKENIZER = Tokenizer([b" the", b" gr", "ö".encode(), b"ing"])
THE, GR, UMLAUT, ING = 257, 258, 259, 260
SPACE, A, BOS = 33, 98, 1


def test_the_table_is_the_challenges() -> None:
    """Marks apart, UTF-8 lengths, one byte a byte token, nothing for BOS."""
    table = byte_table(TOKENIZER)
    assert [table.base_V[t] for t in (THE, GR, UMLAUT, ING, SPACE, A, 0, BOS)] == [3, 2, 2, 3, 0, 1, 1, 0]
    assert [bool(table.leads_V[t]) for t in (THE, GR, UMLAUT, ING, SPACE, A)] == [
        True,
        True,
        *[False] * 2,
        True,
        False,
    ]
    assert np.flatnonzero(table.boundary_V).tolist() == [BOS]


@pytest.mark.parametrize(
    ("tokens", "count"),
    [
        ([A, THE], 5),  # "a the"
        ([THE, THE], 7),  # " the the": the first space follows the start and does not count
        ([SPACE, A], 1),
        ([A, SPACE, SPACE, A], 4),
        ([A, BOS, THE, ING], 7),  # "a", a boundary, "the" without its space, "ing"
        ([GR, UMLAUT, A], 5),
    ],
)
def test_counts_worked_out_by_hand(tokens: list[int], count: int) -> None:
    """A space counts unless a control token is before it."""
    assert official_byte_count(np.array(tokens), TOKENIZER) == count


def test_a_lossless_count_is_the_texts_size() -> None:
    """Any bytes that do not begin with a space: the two counts agree, so an official figure differs from ours only
    where a count is wrong."""
    for text in ("größe the thing".encode(), bytes(range(256)), b"a  the \n the\xff the"):
        assert official_byte_count(TOKENIZER.encode(text), TOKENIZER) == len(text)
    assert official_byte_count(TOKENIZER.encode(b" the"), TOKENIZER) == 3


def test_the_figure() -> None:
    """Two tokens at 3 nats each over five bytes."""
    assert official_bpb(6.0, np.array([A, THE]), TOKENIZER) == pytest.approx(6 / math.log(2) / 5)


def vocabulary(tmp_path: Path) -> ForeignVocabulary:
    """A model as the challenge's: byte-pair, byte fallback, a space in front of each document."""
    return load_foreign(model(tmp_path / "some.model", TEXTS))


def test_the_table_of_a_sentencepiece_model(tmp_path: Path) -> None:
    """Unknown and control tokens are boundaries without bytes; byte tokens have one; the mark is apart."""
    given = vocabulary(tmp_path)
    table, ids = foreign_byte_table(given), given.processor.piece_to_id
    assert np.flatnonzero(table.boundary_V).tolist() == sorted(map(ids, ("<unk>", "<s>", "</s>")))
    expected = {
        "<s>": (0, False),
        "<0xE2>": (1, False),
        "\u2581the": (3, True),
        "\u2581": (0, True),
        "ö": (2, False),
    }
    found = {piece: (int(table.base_V[ids(piece)]), bool(table.leads_V[ids(piece)])) for piece in expected}
    assert found == expected


def test_documents_are_counted_as_the_challenge_does(tmp_path: Path) -> None:
    """By hand: "the dog" has seven bytes, the other twelve; the space in front of each does not count, for BOS is
    before it, and the sign that the model has never seen comes as three byte tokens."""
    given = vocabulary(tmp_path)
    documents = [b"the dog", "größer \u2042".encode()]
    found = official_count(documents, given)
    pieces = [given.processor.encode(text.decode(), out_type=str) for text in documents]
    assert pieces[1][-4:] == ["\u2581", "<0xE2>", "<0x81>", "<0x82>"]
    assert found == OfficialCount(2, sum(map(len, pieces)) + 1, 7 + 12)
    assert official_count([], given) == OfficialCount(0, 0, 0)


def test_the_counts_of_the_challenges_own_documents_are_their_size(tmp_path: Path) -> None:
    """Its texts are tokens decoded, in which the model loses nothing: the count is the documents' own size."""
    documents = [text.encode() for text in TEXTS]
    found = official_count(documents, vocabulary(tmp_path))
    assert found.bytes == sum(map(len, documents)) and found.documents == len(TEXTS)
