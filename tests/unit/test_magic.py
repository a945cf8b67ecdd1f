"""A file that is not what was asked for is named for what it is, before any number in it is believed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from pathlib import Path

import msgspec
import pytest
from tests.unit.test_cli import error_line

from regrow.cli import main
from regrow.core.magic import describe_bytes
from regrow.predict.codec import Codec
from regrow.predict.stream import BlockKind, block_of, single

FILES = {
    "a gzip file": gzip.compress(b"text"),
    "a bzip2 file": bz2.compress(b"text"),
    "an xz file": lzma.compress(b"text"),
    "a zip archive (as PyTorch, Word and EPUB files are)": b"PK\x03\x04" + bytes(30),
    "a tar archive": b"name" + bytes(253) + b"ustar\x0000" + bytes(248),
    "an ELF program": b"\x7fELF\x02\x01\x01" + bytes(57),
    "a PNG picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a JPEG picture": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "a PDF document": b"%PDF-1.7\n",
    "a Parquet file": b"PAR1\x15\x04",
    "a numpy array": b"\x93NUMPY\x01\0",
    "a pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0",
    "a safetensors file": b'\x40\0\0\0\0\0\0\0{"a":',
    "a regrow stream": b"\xaaRG\x43" + bytes(20),
    "UTF-16 text": "text".encode("utf-16"),
    "HTML": b"<!doctype html>",
    "JSON": b'{"a": 1}',
    "text": "größer\n".encode(),
    "data of no known format": zlib.compress(bytes(range(256)))[2:],
    "an empty file": b"",
}


@pytest.mark.parametrize("kind", FILES)
def test_inspect_says_what_a_file_is(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And no length that its first bytes happen to spell."""
    assert describe_bytes(FILES[kind]) == kind
    path = tmp_path / "file"
    path.write_bytes(FILES[kind])
    assert main(["inspect", str(path)]) == 2
    said = error_line(capsys)
    if "stream" in kind:
        assert "stream of version" in said
    else:
        assert f"{path}: " in said and "its header says" not in said
        assert f"is {kind}, not a regrow artifact" in said or kind == "a safetensors file"


def test_a_program_of_this_machine_is_named() -> None:
    """A real file of some size, not a few bytes made up."""
    assert describe_bytes(Path(sys.executable).read_bytes()[:4096]) == "an ELF program"


def stream_of(artifact_sha256: str) -> bytes:
    return single(artifact_sha256, block_of(BlockKind.FIXED, bytes(5000), b"payload", 2000))


class Named(Codec):
    """A codec of which only the artifact's name is asked."""

    def __init__(self) -> None:
        self.sha256 = "cd" * 32


def test_a_stream_can_be_inspected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its sizes, and the artifact that it names."""
    path = tmp_path / "a.rg"
    path.write_bytes(stream_of("ab" * 32))
    assert main(["inspect", str(path), "--json"]) == 0
    found = msgspec.json.decode(capsys.readouterr().out)
    assert (found["artifact"], found["tokens"], found["blocks"]["fixed"]) == ("ab" * 4, 2000, 1)
    assert found["stream_bytes"] == path.stat().st_size
    assert main(["inspect", str(path)]) == 0
    assert "ab" * 4 in capsys.readouterr().out


def test_a_wrong_artifact_is_told_which_one_is_wanted_and_which_was_given() -> None:
    """Both by the name that `regrow inspect` shows."""
    with pytest.raises(Exception, match=f"begins {'ab' * 4}, and the one given begins {'cd' * 4};"):
        Named().decode(stream_of("ab" * 32))


@pytest.mark.parametrize("kind", ["a gzip file", "text", "an empty file"])
def test_decompress_says_what_it_was_given(kind: str) -> None:
    """What is no stream is named."""
    with pytest.raises(Exception, match=f"this is {kind}, no stream"):
        Named().decode(FILES[kind])
