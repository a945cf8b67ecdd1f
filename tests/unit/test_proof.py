"""A text in pieces that are proven apart is the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regrow.predict.proof import pieces_of


@given(
    st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\xff"]), min_size=1, max_size=60).map(b"".join),
    st.integers(1, 9),
)
def test_pieces_are_the_text_again_and_none_is_empty(raw: bytes, count: int) -> None:
    pieces = pieces_of(raw, count)
    assert b"".join(pieces) == raw and all(pieces) and 1 <= len(pieces) <= count


def test_pieces_end_behind_a_newline_where_one_is_near() -> None:
    lines = b"".join(b"%04d word word\n" % i for i in range(1000))
    pieces = pieces_of(lines, 4)
    assert len(pieces) == 4 and all(piece.endswith(b"\n") for piece in pieces)
    assert max(map(len, pieces)) - min(map(len, pieces)) < 2 * 15 * 2
    assert len(pieces_of(b"x" * 1000, 3)) == 3
