"""Golden streams: whatever regrow has once written in format 3 decodes for ever, on every machine.

`streams/artifact.safetensors` was trained for them, once: `regrow train` on 40,000 bytes of presidents' messages with
d_model 64, one layer, 320 tokens and a memory of order 4. `text` is its validation text. `memory_input` is the same of
a network that reads the memory's likeliest tokens (model.memory_input = 8); `format_2` is that artifact as format
version 2, its text in halves; `recent_input` reads recent text too (model.recent_input = 2).
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.portable import READ, SETTINGS

from regrow.artifact.container import read_artifact
from regrow.core.errors import StreamError
from regrow.predict.codec import Codec, Expected
from regrow.predict.stream import BLOCKS_END, AdaptiveSettings, StreamReader, block_bytes, blocks_head

FOLDER = Path(__file__).parent / "streams"
READS_MEMORY, FORMAT_2, READS_RECENT = map(FOLDER.with_name, ("memory_input", "format_2", "recent_input"))
ROOT = FOLDER.parents[2]
TEXT = (FOLDER / "text").read_bytes()
PACKED = b"The state of the Union. " * 20
TEXTS = {
    "fixed": TEXT,
    "adaptive": TEXT,
    "adaptive7": TEXT,
    "stored": bytes(range(0, 256, 5)),
    "packed": PACKED,
    "empty": b"",
    "blocks": TEXT[:500] + bytes(range(99)) + PACKED + TEXT[500:900],
}
KINDS = {"fixed": 3, "adaptive": 4, "adaptive7": 7, "stored": 1, "packed": 2, "empty": 1, "blocks": 0}


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load(FOLDER / "artifact.safetensors")


@pytest.mark.parametrize("name", TEXTS)
def test_a_golden_stream_decodes(codec: Codec, name: str) -> None:
    stream = (FOLDER / f"{name}.rg").read_bytes()
    assert codec.decode(stream) == TEXTS[name]
    with (FOLDER / f"{name}.rg").open("rb") as file:
        assert StreamReader(file).kind == KINDS[name]
    assert len(stream) < len(TEXTS[name]) // 3 or name in ("stored", "empty")


def test_the_stream_of_blocks_has_one_of_each_kind(codec: Codec) -> None:
    stream = (FOLDER / "blocks.rg").read_bytes()
    blocks = list(StreamReader(io.BytesIO(stream)).blocks())
    assert [block.kind for block in blocks] == [3, 1, 2, 4]
    assert blocks_head(codec.sha256) + b"".join(map(block_bytes, blocks)) + BLOCKS_END == stream


@pytest.mark.parametrize("name", ["adaptive", "adaptive7"])
def test_both_kinds_of_adaptive_stream_say_how_they_were_made(codec: Codec, name: str) -> None:
    stream, settings = (FOLDER / f"{name}.rg").read_bytes(), SETTINGS["adaptive7"]
    assert codec.decode(stream, expected=settings or "any") == TEXT
    others: tuple[Expected, ...] = ("fixed", AdaptiveSettings(3, 3, 1000))
    for expected in others:
        with pytest.raises(StreamError, match=r"adapts|other settings"):
            codec.decode(stream, expected=expected)


@pytest.mark.parametrize(
    ("folder", "version", "names", "recent"),
    [
        (READS_MEMORY, 1, [*SETTINGS, *READ], 0),
        (FORMAT_2, 2, [*SETTINGS, *READ], 0),
        (READS_RECENT, 2, [*SETTINGS], 2),
    ],
)
def test_golden_streams_of_a_network_that_reads_the_memory_decode(
    folder: Path, version: int, names: list[str], recent: int
) -> None:
    codec, text = Codec.load(folder / "artifact.safetensors"), (folder / "text").read_bytes()
    assert (codec.config.model.memory_input, codec.config.model.recent_input) == (8, recent)
    assert read_artifact(folder / "artifact.safetensors").manifest["format_version"] == version
    for name in names:
        stream = (folder / f"{name}.rg").read_bytes()
        assert codec.decode(stream) == text and len(stream) < len(text) // 3


@pytest.mark.long
@pytest.mark.parametrize(
    "folder", [FOLDER, READS_MEMORY, FORMAT_2, READS_RECENT], ids=lambda folder: folder.name
)
def test_streams_are_the_same_with_the_oldest_instructions(folder: Path) -> None:
    """And with one and two threads, fixed and adaptive, written and read; 64-bit Arm: `make portable`, and CI."""
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = [str(ROOT / "dev" / "portable.sh"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    read = sum((folder / f"{name}.rg").exists() for name in READ)
    assert (done.returncode, done.stdout.count(" same\n")) == (0, 2 * (2 * len(SETTINGS) + read + 1)), (
        done.stderr
    )
    here, old = (line for line in done.stdout.splitlines() if line[0] != " ")
    assert old.endswith("; numba: generic, 0 features; numpy: baseline") and here != old
