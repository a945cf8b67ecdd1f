"""Files of records that somebody cut, changed or made up: one sentence, the records named, never other records."""

from __future__ import annotations

import io
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_records import SHA, file_of, log_lines, memory_codec, records_of

from regrow.core.errors import StreamError
from regrow.predict.record_codec import RAW, RecordCodec
from regrow.predict.record_file import CHECKED, RecordReader

__all__ = ["memory_codec"]  # a fixture

RECORDS = log_lines(8, 2 * CHECKED + 10)


@pytest.fixture(scope="module")
def plain(memory_codec: RecordCodec) -> bytes:
    return file_of(memory_codec, RECORDS)


@pytest.fixture(scope="module", params=[0, 2], ids=["one checksum for 64", "one for each"])
def stored(memory_codec: RecordCodec, request: pytest.FixtureRequest) -> bytes:
    return file_of(memory_codec.checked(request.param), RECORDS)


def test_a_cut_anywhere_is_told(memory_codec: RecordCodec, stored: bytes) -> None:
    for size in {*range(40), *range(40, len(stored), 7), len(stored) - 1}:
        with pytest.raises(StreamError, match=r"cut short|an empty file|not a file of records"):
            records_of(memory_codec, stored[:size])


def test_a_flipped_bit_anywhere_is_told(memory_codec: RecordCodec, stored: bytes) -> None:
    for at in range(len(stored)):
        broken = bytearray(stored)
        broken[at] ^= 1 << at % 8
        with pytest.raises(StreamError):
            records_of(memory_codec, bytes(broken))


def test_damage_names_its_records_and_leaves_the_others(memory_codec: RecordCodec, plain: bytes) -> None:
    reader = RecordReader(io.BytesIO(plain), "file")
    (block,) = reader.index()
    _, start, _ = list(block.groups())[1]
    broken = bytearray(plain)
    broken[block.at + start + 1] ^= 4
    with pytest.raises(StreamError, match="file: one of records 65 to 128 is damaged"):
        records_of(memory_codec, bytes(broken))
    reader = RecordReader(io.BytesIO(bytes(broken)), "file")
    assert reader.record(memory_codec, 1) == RECORDS[0]
    assert reader.record(memory_codec, 129) == RECORDS[128]
    with pytest.raises(StreamError, match="one of records 65 to 128 is damaged"):
        reader.record(memory_codec, 65)


def test_with_checksums_damage_is_that_of_one_record(memory_codec: RecordCodec) -> None:
    stored = file_of(memory_codec.checked(4), RECORDS)
    (block,) = RecordReader(io.BytesIO(stored), "file").index()
    _, start, _ = list(block.groups())[69]
    broken = bytearray(stored)
    broken[block.at + start] ^= 4
    with pytest.raises(StreamError, match="file: record 70: is damaged, or was made with another artifact"):
        records_of(memory_codec, bytes(broken))
    reader = RecordReader(io.BytesIO(bytes(broken)), "file")
    codec = reader.codec(memory_codec, SHA)
    assert [reader.record(codec, place) for place in (1, 69, 71, 138)] == [
        RECORDS[place - 1] for place in (1, 69, 71, 138)
    ]
    with pytest.raises(StreamError, match="file: record 70: is damaged"):
        reader.record(codec, 70)


@pytest.mark.parametrize("size", [0, 5, 255])
def test_a_made_up_size_of_checksums_is_refused(memory_codec: RecordCodec, size: int) -> None:
    stored = file_of(memory_codec.checked(4), RECORDS[:1])
    head = bytearray(stored[:15])
    assert head[10] == 4
    head[10] = size
    head[11:15] = zlib.crc32(bytes(head[:11])).to_bytes(4, "little")
    with pytest.raises(StreamError, match="is damaged in the head"):
        RecordReader(io.BytesIO(bytes(head) + stored[15:]), "file")


def test_with_a_checksum_damage_is_noticed(memory_codec: RecordCodec) -> None:
    """Every bit that is flipped, every cut, and the bytes of another record."""
    checked = memory_codec.checked(4)
    coded = checked.encode_many(RECORDS[:20])
    for record, one in zip(RECORDS[:20], coded, strict=True):
        broken = [bytes(one[:at]) for at in range(len(one))]
        for bit in range(8 * len(one)):
            flipped = bytearray(one)
            flipped[bit // 8] ^= 1 << bit % 8
            broken.append(bytes(flipped))
        broken += [other[:-4] + one[-4:] for other in coded if other != one]
        for made_up in broken:
            with pytest.raises(StreamError, match="record 1: is damaged"):
                checked.decode(made_up)
        assert checked.decode(one) == record


def test_outside_a_file_damage_is_refused_or_becomes_another_record(memory_codec: RecordCodec) -> None:
    """So docs/records.md asks for a checksum with each."""
    refused = others = 0
    for record, coded in zip(RECORDS[:20], memory_codec.encode_many(RECORDS[:20]), strict=True):
        for bit in range(8 * len(coded)):
            broken = bytearray(coded)
            broken[bit // 8] ^= 1 << bit % 8
            try:
                others += memory_codec.decode(bytes(broken)) != record
            except StreamError:
                refused += 1
    assert refused > 0 and others > 0


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (b"", "an empty file, not a file of records"),
        (b"\x1f\x8b", "a gzip file, not a file of records"),
        (b"\xaaRG\x33", "is a regrow stream, not a file of records"),
        (b"\xaaRG\x45", "is of version 4 of the format"),
        (b"\xaaRG\x35" + b"\xc0\xff\xee\x11" + b"\xff\xff\x7f", "damaged in the head"),
    ],
)
def test_what_is_no_file_of_records_is_named(head: bytes, fault: str) -> None:
    with pytest.raises(StreamError, match=fault):
        RecordReader(io.BytesIO(head), "file")


def test_another_artifact_is_named(memory_codec: RecordCodec, stored: bytes) -> None:
    with pytest.raises(StreamError, match="begins c0ffee11, and the one given begins 00000000"):
        RecordReader(io.BytesIO(stored), "file").codec(memory_codec, "0" * 64)


def test_records_that_decode_to_others_are_told(memory_codec: RecordCodec, stored: bytes) -> None:
    """Right in every checksum of the coded bytes, wrong in that of the text: another model of the same name."""
    end = zlib.crc32(b"".join(record + b"\n" for record in RECORDS)).to_bytes(4, "little")
    assert stored.endswith(end)
    with pytest.raises(StreamError, match="does not decode to the records it was made of"):
        records_of(memory_codec, stored[:-4] + bytes(4))


@given(coded=st.binary(max_size=12))
def test_made_up_records_end(memory_codec: RecordCodec, coded: bytes) -> None:
    """Any bytes are a record, or are told to be none; nothing runs for ever."""
    try:
        record = memory_codec.decode(coded)
    except StreamError as error:
        assert "record 1: is damaged" in str(error)
    else:
        assert coded[:1] != bytes([RAW]) or record == coded[1:]


def test_zeros_for_ever_are_cut_off(memory_codec: RecordCodec) -> None:
    """Past their end coded bytes read as zeros, which are the token 0 again and again, not a newline."""
    cut = random.Random(9).randbytes(3)
    for coded in (b"", b"\x01", cut):
        try:
            assert isinstance(memory_codec.decode(coded), bytes)
        except StreamError as error:
            assert "is damaged" in str(error)
