"""LEB128: every number comes back, from one form only as far as a reader looks, and nothing is read beyond the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.core.varints import decode_varint, encode_varint


@given(st.lists(st.integers(0, (1 << 35) - 1), min_size=1), st.binary())
def test_numbers_come_back_in_turn(values: list[int], behind: bytes) -> None:
    data, at = b"".join(map(encode_varint, values)) + behind, 0
    for value in values:
        found, at = decode_varint(data, at)
        assert found == value
    assert at == len(data) - len(behind)


def test_the_bytes_are_those_of_leb128() -> None:
    assert [encode_varint(n).hex() for n in (0, 1, 127, 128, 300, 624485)] == [
        "00", "01", "7f", "8001", "ac02", "e58e26",
    ]  # fmt: skip


@given(st.integers(0, 1 << 70))
def test_a_number_cut_short_is_refused(value: int) -> None:
    data = encode_varint(value)
    with pytest.raises(ValueError, match=r"^a number is cut short$"):
        decode_varint(data[:-1], 0, bits=77)


@pytest.mark.parametrize(("bits", "largest"), [(7, 127), (35, (1 << 35) - 1), (64, (1 << 70) - 1)])
def test_a_number_beyond_the_bits_is_refused(bits: int, largest: int) -> None:
    assert decode_varint(encode_varint(largest), 0, bits)[0] == largest
    with pytest.raises(ValueError, match=r"^a number is too large$"):
        decode_varint(encode_varint(largest + 1), 0, bits)
    assert decode_varint(encode_varint((1 << 35) - 1), 0)[0] == (1 << 35) - 1  # 35 where nothing is said
    with pytest.raises(ValueError, match="too large"):
        decode_varint(encode_varint(1 << 35), 0)
