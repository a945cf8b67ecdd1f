"""Making a folder of tokens on several cores: the same bytes however it was shared out, interrupted or killed."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import regrow.data.folder_writer
from regrow.core.config.schema import DataConfig
from regrow.core.errors import DataError
from regrow.core.files import sha256_hex
from regrow.core.processes import Terminated
from regrow.core.progress import Silent
from regrow.data.build import build_dataset
from regrow.data.dataset import Dataset, document_starts
from regrow.data.folder_writer import FolderWriter, GrowingArray

CONFIG = DataConfig(vocab_size=300, val_fraction=0.2)


def _whole(folder: Path) -> dict[str, str]:
    return {path.name: sha256_hex(path.read_bytes()) for path in folder.iterdir()}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows enough for several pieces of work, one row longer than a segment, and one without any place to cut."""
    rows = [" ".join(f"w{i * j % 97}" for j in range(900)) for i in range(900)]
    rows += ["long " * 600_000, "x" * 2_500_000]
    path = tmp_path_factory.mktemp("large") / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"text": row}) for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def large_built(large: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of it, made by this process alone."""
    out = tmp_path_factory.mktemp("large-built") / "data"
    build_dataset(str(large), out, CONFIG, processes=1)
    return out


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_any_number_of_processes_writes_the_same_bytes(
    large: Path, large_built: Path, tmp_path: Path, processes: int
) -> None:
    """How the work was shared out can be seen in no file."""
    build_dataset(str(large), tmp_path / "data", CONFIG, processes=processes)
    assert _whole(tmp_path / "data") == _whole(large_built)


def test_long_documents_decode_to_themselves(large_built: Path) -> None:
    """Documents that were cut to be encoded come back whole, and are one document still."""
    data = Dataset.load(large_built)
    ends = [*data.doc_offsets[1:].tolist(), len(data.train_tokens)]
    texts = [
        data.tokenizer.decode(data.train_tokens[a:b]) for a, b in zip(data.doc_offsets, ends, strict=True)
    ]
    assert b"x" * 2_500_000 in texts
    long = b"long " * 600_000
    head = next(text for text in texts if text.startswith(b"long"))
    assert len(head) < len(long) and data.val_bytes.endswith(b"\n" + long[len(head) :]), "its end is held out"
    assert sum(map(len, texts)) == data.train_bytes


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(KeyboardInterrupt(), id="ctrl-C"),
        pytest.param(Terminated(15), id="SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_build_goes_on_and_writes_the_same_bytes(
    large: Path, large_built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    """Ctrl-C, or kill, after a note was taken: nothing is in place yet; the same command starts from the note, another
    vocabulary from the beginning."""
    monkeypatch.setattr(regrow.data.folder_writer, "NOTE_BYTES", 1 << 20)
    whole_write = regrow.data.folder_writer.FolderWriter.advance

    def interrupted(writer: FolderWriter, documents: int, raw_bytes: int) -> None:
        whole_write(writer, documents, raw_bytes)
        if writer.note.raw_bytes > 2 << 20:
            raise end

    monkeypatch.setattr(FolderWriter, "advance", interrupted)
    with pytest.raises(type(end), match="the same command goes on"):
        build_dataset(str(large), tmp_path / "data", CONFIG, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == [".data.making"]
    monkeypatch.setattr(FolderWriter, "advance", whole_write)
    said: list[str] = []

    class Hears(Silent):
        def log(self, line: str) -> None:
            said.append(line)

    build_dataset(str(large), tmp_path / "data", CONFIG, Hears(), processes=1)
    assert "going on after" in said[2]
    assert _whole(tmp_path / "data") == _whole(large_built)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


KILLED = """
import sys
import regrow.data.folder_writer
from regrow.core.config.schema import DataConfig
from regrow.data.build import build_dataset

if __name__ == "__main__":
    regrow.data.folder_writer.NOTE_BYTES = 1 << 20
    build_dataset(sys.argv[1], sys.argv[2], DataConfig(vocab_size=300, val_fraction=0.2), processes=2)
"""


def test_a_killed_build_leaves_no_folder_no_process_and_goes_on(
    large: Path, large_built: Path, tmp_path: Path
) -> None:
    """SIGKILL once a note is there: its workers end by themselves, and the next call makes the same bytes."""
    (tmp_path / "build.py").write_text(KILLED)
    out = tmp_path / "out" / "data"
    command = [sys.executable, str(tmp_path / "build.py"), str(large), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    note = out.parent / ".data.making" / "state.json"
    while not note.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    assert not out.exists()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}/cmdline").exists() for child in children):
        assert time.monotonic() < deadline, "a worker outlived the build"
        time.sleep(0.05)
    build_dataset(str(large), out, CONFIG, processes=1)
    assert _whole(out) == _whole(large_built)
    assert [path.name for path in out.parent.iterdir()] == ["data"]


def test_an_array_that_was_cut_short_is_not_made_longer_with_zeros(tmp_path: Path) -> None:
    array = GrowingArray(tmp_path / "a.npy", np.int32)
    array.append(np.arange(9))
    array.close()
    with pytest.raises(DataError, match="was cut short"):
        GrowingArray(tmp_path / "a.npy", np.int32, kept=10)


def test_a_folder_says_where_its_held_out_documents_begin(tmp_path: Path) -> None:
    rows = [f"row {i} " * (60 + i) for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"text": row}) for row in rows))
    raw = build_dataset(str(tmp_path / "rows.jsonl"), tmp_path / "data", CONFIG).val_bytes
    starts = document_starts(tmp_path / "data", raw)
    pieces = [raw[a:b].decode() for a, b in itertools.pairwise([*starts, len(raw) + 1])]
    assert len(pieces) > 2 and {piece.removesuffix("\n") for piece in pieces} < set(rows)
    info = json.loads((tmp_path / "data/data.json").read_text())
    del info["val_documents"]
    (tmp_path / "data/data.json").write_text(json.dumps(info))
    assert document_starts(tmp_path / "data", raw) == [0], "a folder of an earlier version is one text"


def test_documents_of_a_file_end_at_lines_of_a_form_feed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(raw := b"one\n\x0c\ntwo \x0c inside\n\x0c\n")
    assert document_starts(tmp_path / "a.txt", raw) == [0, 6]


def test_a_folder_that_a_killed_process_had_moved_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".data.old").mkdir()
    (tmp_path / ".data.old" / "val.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), FolderWriter(tmp_path / "data", "key"):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert (tmp_path / "data" / "val.txt").read_text() == "old"
