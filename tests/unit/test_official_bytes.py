"""The challenge's count of bytes, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regrow.challenge.official_bytes import byte_table, official_bpb, official_byte_count
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
