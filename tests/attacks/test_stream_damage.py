"""A long stream with a damaged block: named, refused whole, or salvaged but for that block."""

from __future__ import annotations

import io
import itertools
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.core.errors import StreamError
from regrow.core.progress import Silent
from regrow.predict.codec import Codec
from regrow.predict.salvage import Hole, salvage
from regrow.predict.stream import BLOCKS_END, block_bytes, blocks_head

FOLDER = Path(__file__).parents[1] / "golden" / "streams"
TEXT = (FOLDER / "text").read_bytes()
# Of every form, and more than are needed to know a chain.
PARTS = [
    TEXT[:120],
    bytes(range(99)),
    bytes(400),
    TEXT[120:200],
    TEXT[200:330],
    bytes(range(60, 130)),
    TEXT[330:400],
]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load(FOLDER / "artifact.safetensors")


@pytest.fixture(scope="module")
def blocks(codec: Codec) -> list[bytes]:
    with Silent().task("encode") as task:
        return [block_bytes(codec.encode_block(part, None, task)[0]) for part in PARTS]


def stream_of(codec: Codec, blocks: list[bytes]) -> bytes:
    return blocks_head(codec.sha256) + b"".join(blocks) + BLOCKS_END


def rescued(codec: Codec, stream: bytes) -> tuple[list[Hole], bytes]:
    out = io.BytesIO()
    holes, written = salvage(codec, io.BytesIO(stream), out)
    assert written == len(out.getvalue())
    return holes, out.getvalue()


def test_a_sound_stream_has_no_hole(codec: Codec, blocks: list[bytes]) -> None:
    assert rescued(codec, stream_of(codec, blocks)) == ([], b"".join(PARTS))
    for name in ("fixed", "empty", "stored", "packed"):
        stream = (FOLDER / f"{name}.rg").read_bytes()
        assert rescued(codec, stream) == ([], codec.decode(stream))


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_every_damaged_block_is_named_and_the_others_are_saved(
    codec: Codec, blocks: list[bytes], number: int
) -> None:
    at = len(stream_of(codec, blocks[:number])) - 1
    size = len(blocks[number])
    bad = bytearray(stream_of(codec, blocks))
    checksum = zlib.crc32(PARTS[number]).to_bytes(4, "little")
    bad[at + blocks[number].index(checksum)] ^= 0x10
    with pytest.raises(StreamError, match=f"block at byte {at:,}"):
        codec.decode(bytes(bad))
    holes, text = rescued(codec, bytes(bad))
    before = b"".join(PARTS[:number])
    assert holes == [Hole(at, size, len(PARTS[number]), len(before))]
    assert f"at byte {at:,}" in str(holes[0]) and f"{len(PARTS[number]):,} bytes are left out" in str(
        holes[0]
    )
    assert text == before + b"".join(PARTS[number + 1 :])


@pytest.mark.parametrize("number", range(len(PARTS)))
def test_the_blocks_behind_a_damaged_header_are_found_again(
    codec: Codec, blocks: list[bytes], number: int
) -> None:
    """Whatever the damaged sizes say, all others are there; and a block whose text is right all the same."""
    at = len(stream_of(codec, blocks[:number])) - 1
    without = b"".join(PARTS[:number] + PARTS[number + 1 :])
    for byte, value in itertools.product(range(4), (0x00, 0x02, 0x7F, 0xFF)):  # kind and sizes
        bad = bytearray(stream_of(codec, blocks))
        bad[at + byte] = value
        holes, text = rescued(codec, bytes(bad))
        if holes:
            assert text == without
            (hole,) = holes
            assert hole.at + hole.stream_bytes == at + len(blocks[number])
            assert at - 1 <= hole.at <= at, "the byte before may pass for the beginning"
        else:
            assert text == b"".join(PARTS)


def test_bytes_in_between_and_a_lost_block_cost_nothing_else(codec: Codec, blocks: list[bytes]) -> None:
    between = [*blocks[:3], b"\xff\x01rubbish\x03", *blocks[3:]]
    holes, text = rescued(codec, stream_of(codec, between))
    assert text == b"".join(PARTS) and [hole.stream_bytes for hole in holes] == [10]
    assert "an unknown number of bytes" in str(holes[0])


@given(data=st.data())
def test_a_cut_stream_gives_what_stands_before_the_cut(
    codec: Codec, blocks: list[bytes], data: st.DataObject
) -> None:
    stream = stream_of(codec, blocks)
    cut = data.draw(st.integers(8, len(stream) - 1))
    whole = sum(len(stream_of(codec, blocks[: n + 1])) - 1 <= cut for n in range(len(blocks)))
    holes, text = rescued(codec, stream[:cut])
    assert text == b"".join(PARTS[:whole])
    # A 0 at the cut may pass for the stream's own last byte.
    assert len(holes) == 1 and cut - 1 <= holes[0].at + holes[0].stream_bytes <= cut
    with pytest.raises(StreamError, match="is cut short"):
        codec.decode(stream[:cut])


@given(data=st.data())
def test_whatever_is_changed_nothing_false_is_written(
    codec: Codec, blocks: list[bytes], data: st.DataObject
) -> None:
    bad = bytearray(stream_of(codec, blocks))
    for at in data.draw(st.lists(st.integers(8, len(bad) - 1), min_size=1, max_size=3)):
        bad[at] = data.draw(st.integers(0, 255))
    holes, text = rescued(codec, bytes(bad))
    some = itertools.product((False, True), repeat=len(PARTS))
    assert any(text == b"".join(itertools.compress(PARTS, kept)) for kept in some)
    assert holes or text == b"".join(PARTS)


def test_one_block_alone_is_whole_or_refused(codec: Codec) -> None:
    stream = bytearray(codec.encode(TEXT).stream)
    stream[8] ^= 1  # of the checksum
    with pytest.raises(StreamError, match="is damaged in the block at byte 8"):
        rescued(codec, bytes(stream))
