"""The stream's format: what was written is read, small, and a damaged stream is named, never believed."""

from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.core.errors import StreamError
from regrow.predict.stream import (
    ADAPTIVE_KINDS,
    BLOCKS_END,
    AdaptiveSettings,
    BlockKind,
    StreamBlock,
    StreamReader,
    block_bytes,
    block_of,
    blocks_head,
    single,
)

SHA = "c0ffee11" + "00" * 28

payloads = st.binary(max_size=200)
kinds = st.sampled_from([BlockKind.STORED, BlockKind.PACKED, BlockKind.FIXED, *ADAPTIVE_KINDS])


@st.composite
def blocks(draw: st.DrawFn) -> StreamBlock:
    kind, raw = draw(kinds), draw(st.binary(max_size=300))
    payload = raw if kind == BlockKind.STORED else draw(payloads)
    settings = AdaptiveSettings(16, 4, 1 << 20) if kind in ADAPTIVE_KINDS else None
    tokens = draw(st.integers(0, len(raw))) if kind in (BlockKind.FIXED, *ADAPTIVE_KINDS) else 0
    return block_of(kind, raw, payload, tokens, settings)


def read(stream: bytes) -> list[StreamBlock]:
    return list(StreamReader(io.BytesIO(stream)).blocks())


@given(block=blocks())
def test_a_stream_of_one_block_is_read_as_written(block: StreamBlock) -> None:
    reader = StreamReader(io.BytesIO(single(SHA, block)))
    (found,) = reader.blocks()
    assert reader.artifact_id.hex() == SHA[:8] and reader.kind == block.kind
    assert (found.kind, found.checksum, found.payload) == (block.kind, block.checksum, block.payload)
    assert (found.tokens, found.settings) == (block.tokens, block.settings)


@given(several=st.lists(blocks(), max_size=4))
def test_a_stream_of_blocks_is_read_as_written_and_can_be_skipped_through(several: list[StreamBlock]) -> None:
    stream = blocks_head(SHA) + b"".join(map(block_bytes, several)) + BLOCKS_END
    found = read(stream)
    assert [(b.kind, b.checksum, b.payload, b.raw_bytes, b.tokens) for b in found] == [
        (b.kind, b.checksum, b.payload, b.raw_bytes, b.tokens) for b in several
    ]
    headers = list(StreamReader(io.BytesIO(stream)).headers())
    assert [(b.at, b.raw_bytes) for b in headers] == [(b.at, b.raw_bytes) for b in found]


def test_a_short_text_costs_at_most_16_bytes_beside_its_payload() -> None:
    raw = bytes(1000)
    for block in (
        block_of(BlockKind.STORED, raw, raw),
        block_of(BlockKind.PACKED, raw, b"x"),
        block_of(BlockKind.FIXED, raw, b"x", 300),
    ):
        assert len(single(SHA, block)) - len(block.payload) <= 16


@given(several=st.lists(blocks(), min_size=1, max_size=3), data=st.data())
def test_a_stream_cut_short_is_an_error(several: list[StreamBlock], data: st.DataObject) -> None:
    stream = blocks_head(SHA) + b"".join(map(block_bytes, several)) + BLOCKS_END
    cut = data.draw(st.integers(0, len(stream) - 1))
    with pytest.raises(StreamError, match=r"cut short|no stream"):
        read(stream[:cut])


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (b"RGST" + bytes(40), "version 2; regrow 0.1 reads it"),
        (b"\xaaRG" + bytes([0x40]) + bytes(20), "version 4"),
        (b"\xaaRG" + bytes([0x3F]) + bytes(20), "unknown kind 15"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG picture, no stream"),
        (b"", "an empty file, no stream"),
        (blocks_head(SHA) + BLOCKS_END + b"x", "after its end"),
        (blocks_head(SHA) + b"\x01" + b"\xff" * 9, "too large"),
    ],
)
def test_what_is_no_stream_is_said(stream: bytes, sentence: str) -> None:
    with pytest.raises(StreamError, match=sentence):
        read(stream)


def test_a_block_believes_only_what_it_was_made_of() -> None:
    block = block_of(BlockKind.FIXED, b"text", b"", 2)
    assert block.check(b"text") == b"text"
    assert block.checksum == zlib.crc32(b"text")
    for other in (b"texT", b"text ", b""):
        with pytest.raises(StreamError, match="block at byte 0"):
            block.check(other)
