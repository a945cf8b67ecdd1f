"""Streams through files: any bytes come back from a pipe, block by block, and from any place of a stream."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import regrow
from regrow.core.errors import ArtifactError, StreamError
from regrow.core.progress import Task
from regrow.predict.codec import Codec
from regrow.predict.stream import StreamBlock

FOLDER = Path(__file__).parents[1] / "golden" / "streams"
TEXT = (FOLDER / "text").read_bytes()

# Like the text, unlike any text, and both: blocks are coded by the artifact, stored and packed.
pieces = st.one_of(
    st.integers(0, 900).map(lambda at: TEXT[at : at + 40]), st.binary(max_size=40), st.just(bytes(50))
)
texts = st.lists(pieces, max_size=5).map(b"".join)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load(FOLDER / "artifact.safetensors")


def compressed(codec: Codec, raw: bytes, block_size: int) -> bytes:
    out = io.BytesIO()
    assert codec.encode_file(io.BytesIO(raw), out, block_size=block_size) == (len(raw), len(out.getvalue()))
    return out.getvalue()


def drip(raw: bytes, size: int) -> tuple[BinaryIO, threading.Thread]:
    """A pipe into which `raw` comes `size` bytes at a time."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as file:
            for at in range(0, len(raw), size):
                file.write(raw[at : at + size])

    thread = threading.Thread(target=write)
    thread.start()
    return os.fdopen(reading, "rb"), thread


@given(raw=texts, block_size=st.integers(5, 60), size=st.integers(1, 99))
@example(raw=b"", block_size=7, size=1)
@example(raw=TEXT[:84], block_size=42, size=42)
def test_any_bytes_come_back_through_pipes(codec: Codec, raw: bytes, block_size: int, size: int) -> None:
    stream = io.BytesIO()
    source, writer = drip(raw, size)
    with source:
        codec.encode_file(source, stream, block_size=block_size)
    writer.join()
    assert stream.getvalue() == compressed(codec, raw, block_size), "a pipe's pieces leave no trace"
    back = io.BytesIO()
    source, writer = drip(stream.getvalue(), size)
    with source:
        assert codec.decode_file(source, back) == (len(stream.getvalue()), len(raw))
    writer.join()
    assert back.getvalue() == raw


@given(
    raw=texts,
    block_size=st.integers(5, 60),
    places=st.lists(
        st.tuples(st.integers(-250, 250), st.sampled_from([0, 1, 2]), st.integers(-1, 99)), max_size=8
    ),
)
def test_a_stream_is_read_as_its_text_is_from_any_place(
    codec: Codec,
    raw: bytes,
    block_size: int,
    places: list[tuple[int, int, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.rg"
    path.write_bytes(compressed(codec, raw, block_size))
    with regrow.open(path, codec) as file, io.BytesIO(raw) as plain:
        for offset, whence, count in places:
            there = {0: 0, 1: plain.tell(), 2: len(raw)}[whence] + offset
            if there < 0:
                with pytest.raises(ValueError):
                    file.seek(offset, whence)
                continue
            assert file.seek(offset, whence) == plain.seek(there)
            assert file.read(count) == plain.read(count)
            assert file.tell() == plain.tell()


def test_only_what_is_touched_is_decoded_and_little_is_kept(
    codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = TEXT[:1000]
    path = tmp_path / "s.rg"
    path.write_bytes(compressed(codec, raw, 100))
    decoded: list[int] = []
    decode = Codec.decode_block

    def counted(self: Codec, block: StreamBlock, task: Task, name: str = "") -> bytes:
        decoded.append(block.at)
        return decode(self, block, task, name)

    monkeypatch.setattr(Codec, "decode_block", counted)
    monkeypatch.setattr("regrow.predict.stream_file._KEPT_BYTES", 200)
    with regrow.open(path, codec) as file:
        raw_file: Any = file.raw
        assert decoded == []
        buffer = bytearray(30)
        for place, blocks in ((450, 1), (470, 1), (920, 2), (410, 2), (0, 3), (930, 4)):
            raw_file.seek(place)
            assert raw_file.readinto(buffer) == 30 and buffer == raw[place : place + 30]
            assert len(decoded) == blocks, place
    for call in (file.read, file.tell, lambda: raw_file.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_a_stream_is_a_file_like_others(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "s.rg"
    path.write_bytes(compressed(codec, TEXT, 300))
    with io.TextIOWrapper(regrow.open(path, codec), encoding="utf-8", newline="") as lines:
        assert "".join(lines) == TEXT.decode()
    with regrow.open(str(path), str(FOLDER)) as file:  # the folder of a run
        assert file.readable() and file.seekable() and not file.writable()
        assert file.readlines() == TEXT.splitlines(keepends=True)
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")  # type: ignore[arg-type]


def test_what_cannot_be_opened_is_said(codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"none: cannot be read \(no such file"):
        regrow.open(tmp_path / "none", codec)
    with pytest.raises(StreamError, match="no stream"):
        regrow.open(FOLDER / "text", codec)
    with pytest.raises(ArtifactError, match=r"artifact\.safetensors: there is no such file"):
        regrow.open(FOLDER / "fixed.rg", tmp_path)
    foreign = tmp_path / "foreign.rg"
    stream = bytearray((FOLDER / "fixed.rg").read_bytes())
    stream[4] ^= 1
    foreign.write_bytes(stream)
    with pytest.raises(StreamError, match="made with the artifact"):
        regrow.open(foreign, codec)
