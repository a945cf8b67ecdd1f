"""The folder of tokens: what is in it, that it appears whole, and that damage is named."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from regrow.cli import main
from regrow.core.config.schema import DataConfig
from regrow.core.errors import DataError, EnvironmentProblem, RegrowError, TokenizerError
from regrow.core.files import sha256_hex
from regrow.core.progress import Silent
from regrow.core.results import DataFigures
from regrow.data.build import build_dataset
from regrow.data.dataset import FILES, Dataset, read_text_argument
from regrow.data.documents import Document
from regrow.data.folder_writer import FolderWriter
from regrow.data.sources import read_source
from regrow.data.tokenizer import Tokenizer
from regrow.data.vocabulary_sample import vocabulary_text

CONFIG = DataConfig(vocab_size=300, val_fraction=0.2)
DOCUMENTS = [
    f"Document {i} says: the {'very ' * (i % 7)}quick fox\r\n\u2581 jumps over {i * 37} dogs.\n".encode() * 8
    for i in range(40)
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of forty texts, one of them not UTF-8."""
    folder = tmp_path_factory.mktemp("source")
    for i, text in enumerate(DOCUMENTS):
        (folder / f"{i:02d}.txt").write_bytes(text + b"\xff" * (i == 5))
    return folder


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder made of it; tests that damage it take a copy."""
    out = tmp_path_factory.mktemp("built") / "data"
    build_dataset(str(source), out, CONFIG)
    return out


@pytest.fixture
def copied(built: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(built, tmp_path / "data"))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_document_is_bos_and_its_tokens(source: Path, built: Path) -> None:
    """Documents decode to the training texts, whose bytes are counted, and BOS stands nowhere else."""
    data = Dataset.load(built)
    texts = [path.read_bytes() for path in sorted(source.iterdir())]
    ends = [*data.doc_offsets[1:].tolist(), len(data.train_tokens)]
    decoded = []
    for start, end in zip(data.doc_offsets, ends, strict=True):
        assert data.train_tokens[start] == data.tokenizer.bos_id
        assert (data.train_tokens[start + 1 : end] != data.tokenizer.bos_id).all()
        decoded.append(data.tokenizer.decode(data.train_tokens[start:end]))
    held_out = [text for text in texts if text not in decoded]
    assert len(decoded) == 32
    assert sorted(decoded + held_out) == sorted(texts)
    assert data.val_bytes == b"\n".join(held_out)
    assert data.train_bytes == sum(map(len, decoded))
    arrays = (data.train_tokens, data.doc_offsets, data.doc_groups)
    assert [array.dtype.name for array in arrays] == ["uint16", "int64", "int32"]


def test_held_out_tokens_are_those_of_val_txt(built: Path) -> None:
    """val.txt is the raw text, its tokens hold no BOS and give it back."""
    data = Dataset.load(built)
    assert data.val_bytes == (built / "val.txt").read_bytes()
    assert data.tokenizer.decode(data.val_tokens) == data.val_bytes
    assert data.tokenizer.bos_id not in data.val_tokens
    assert data.vocab_size == CONFIG.vocab_size


def test_counts_are_those_of_result_json(built: Path) -> None:
    """`counts` has the keys that result.json wants, with the figures of data.json."""
    data = Dataset.load(built)
    figures = msgspec.convert(data.counts, DataFigures)
    info = json.loads((built / "data.json").read_bytes())
    assert data.counts == {key: info[key] for key in data.counts}
    assert figures.val_sha256 == sha256_hex(data.val_bytes)
    assert set(info["files"]) == set(FILES)


def test_the_tokenizer_has_seen_the_training_part_alone(built: Path) -> None:
    """Training it again on the training documents gives the stored payload."""
    data = Dataset.load(built)
    ends = [*data.doc_offsets[1:].tolist(), len(data.train_tokens)]
    texts = [
        data.tokenizer.decode(data.train_tokens[a:b]) for a, b in zip(data.doc_offsets, ends, strict=True)
    ]
    assert Tokenizer.train(texts, 300).to_bytes() == (built / "tokenizer.bin").read_bytes()


def test_the_same_source_gives_the_same_bytes_in_place_of_the_old(source: Path, copied: Path) -> None:
    """A second run replaces the folder, even a damaged one, by an equal one, and leaves nothing beside it."""
    before = _contents(copied)
    (copied / "val.txt").write_bytes(b"damaged")
    for kind in "making", "old":  # left by a process that was killed
        (copied.parent / f".data.{kind}").mkdir()
        (copied.parent / f".data.{kind}" / "state.json").write_bytes(b"{half")
    build_dataset(str(source), copied, CONFIG)
    assert _contents(copied) == before
    assert [path.name for path in copied.parent.iterdir()] == ["data"]


@pytest.mark.parametrize("name", [*FILES, "data.json"])
@pytest.mark.parametrize("damage", ["missing", "short", "flipped", "empty"])
def test_damage_is_named(copied: Path, name: str, damage: str) -> None:
    """Each file, each kind of damage: one sentence that names it and says what to do."""
    path = copied / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    elif name == "data.json" and damage == "flipped":
        path.write_bytes(path.read_bytes().replace(b'"schema": 1', b'"schema": 2'))
    else:
        path.write_bytes(
            {
                "short": bytes(data[:-1] if name != "data.json" else data[:-9]),
                "flipped": bytes(data),
                "empty": b"",
            }[damage]
        )
    with pytest.raises(
        RegrowError, match=r"data(/[a-z_.]+)?: .*(make the folder again|make one) with regrow data"
    ):
        Dataset.load(copied)


def test_a_folder_that_is_none_says_how_to_make_one(tmp_path: Path) -> None:
    """Some folder, or none at all."""
    for folder in tmp_path, tmp_path / "nowhere":
        with pytest.raises(DataError, match="make one with regrow data"):
            Dataset.load(folder)


def test_no_pickle_is_ever_opened(copied: Path) -> None:
    """An array of objects would run code on loading; even one that data.json vouches for is refused."""
    np.save(copied / "train_docs.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    stored = (copied / "train_docs.npy").read_bytes()
    info = json.loads((copied / "data.json").read_bytes())
    info["files"]["train_docs.npy"] = {"bytes": len(stored), "sha256": sha256_hex(stored)}
    (copied / "data.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match=r"train_docs\.npy: not a numpy array"):
        Dataset.load(copied)


def test_what_is_in_the_way_is_left_alone(source: Path, tmp_path: Path, copied: Path) -> None:
    """A file, a folder with something else in it, the source itself: refused before anything is lost."""
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(EnvironmentProblem, match=r"file: is a file; choose a folder with --out"):
        build_dataset(str(source), tmp_path / "file", CONFIG)
    (copied / "notes.md").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"data: holds notes\.md, .* choose another with --out"):
        build_dataset(str(source), copied, CONFIG)
    assert (copied / "notes.md").read_bytes() == b"mine"
    with pytest.raises(DataError, match="lies within the source"):
        build_dataset(str(source), source / "data", CONFIG)
    with pytest.raises(DataError, match="is a data folder already; give it to regrow train"):
        (copied / "notes.md").unlink()
        build_dataset(str(copied), tmp_path / "again", CONFIG)


def test_a_full_disk_leaves_the_old_folder_whole(
    source: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space half-way: one sentence, the old folder as it was, nothing beside it."""
    before = _contents(copied)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentProblem, match=r"data: cannot be written \(no space left on device\)"):
        build_dataset(str(source), copied, CONFIG)
    assert _contents(copied) == before
    assert [path.name for path in copied.parent.iterdir()] == ["data"]


def test_ctrl_c_between_the_renames_brings_the_old_folder_back(
    source: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment when neither folder is in place: interrupted there, the old one returns."""
    before, rename = _contents(copied), Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name.endswith(".making"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_dataset(str(source), copied, CONFIG)
    assert _contents(copied) == before
    assert [path.name for path in copied.parent.iterdir()] == ["data"]


def test_a_text_too_small_for_the_vocabulary_leaves_no_folder(tmp_path: Path) -> None:
    """A few hundred bytes at the default vocabulary: one sentence with a number, and with that it works."""
    path = tmp_path / "tiny.txt"
    path.write_bytes(b"A tiny text.\nOf three lines.\nAnd no more than that.\n" * 4)
    with pytest.raises(TokenizerError, match=r"set data\.vocab_size to (\d+)\.$") as caught:
        build_dataset(str(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    largest = int(str(caught.value).rstrip(".").split()[-1])
    data = build_dataset(str(path), tmp_path / "out", DataConfig(vocab_size=largest))
    assert data.vocab_size == largest
    assert data.train_bytes + len(data.val_bytes) == path.stat().st_size


def test_progress_covers_every_byte(source: Path, tmp_path: Path) -> None:
    """Tokenising tells its total and reaches it."""
    totals: list[float] = []

    class Watch(Silent):
        def task(self, description: str, total: float | None = None, unit: str = ""):  # type: ignore[no-untyped-def,override]
            totals[:] = [-(total or 0.0)]  # reading comes first, and does not know how much there is
            return super().task(description, total, unit)

        def advance(self, n: float = 1.0, **fields: object) -> None:
            totals.append(n)

    build_dataset(str(source), tmp_path / "data", CONFIG, Watch())
    assert min(totals) < -10_000
    assert sum(totals) == 0


def test_data_argument_is_a_folders_held_out_text_or_a_file(copied: Path, tmp_path: Path) -> None:
    """`--data DIR|FILE`: val.txt, verified, or the file's bytes whatever they are; nothing is a DataError."""
    assert read_text_argument(copied) == (copied / "val.txt").read_bytes()
    (tmp_path / "any").write_bytes(b"\0\xff")
    assert read_text_argument(str(tmp_path / "any")) == b"\0\xff"
    (copied / "val.txt").write_bytes(b"other")
    (tmp_path / "empty").write_bytes(b"")
    for path, says in (
        (copied, r"val\.txt: damaged"),
        (tmp_path / "empty", "is empty"),
        (tmp_path / "nowhere", r"cannot be read \(no such file"),
        (tmp_path, "make one with regrow data"),
    ):
        with pytest.raises(DataError, match=says):
            read_text_argument(path)


def test_two_builds_of_one_folder_do_not_meet(source: Path, tmp_path: Path) -> None:
    """The second is refused in a sentence while the first is at work."""
    with (
        FolderWriter(tmp_path / "data", "first"),
        pytest.raises(DataError, match="another process is making this folder"),
    ):
        build_dataset(str(source), tmp_path / "data", CONFIG)


def test_the_vocabulary_of_a_large_corpus_comes_from_a_bounded_sample() -> None:
    """All of a text below the bound, in order; above it pieces from all over, no more than the bound, the same
    ones each time."""
    documents = [Document(b"%06d " % i * 10_000, i) for i in range(50)]
    total = sum(len(document.text) for document in documents)
    assert list(vocabulary_text(documents, total, bound=total)) == [d.text for d in documents]
    sample = list(vocabulary_text(documents, total, bound=total // 4))
    assert total // 8 < sum(map(len, sample)) <= total // 4
    assert sample == list(vocabulary_text(documents, total, bound=total // 4))
    assert sample != list(vocabulary_text(documents, total, bound=total // 4, seed=1))
    assert len({bytes(piece[:6]) for piece in sample}) > 10


def test_a_source_that_changes_under_the_reader_is_named(tmp_path: Path) -> None:
    """What was surveyed must be what is tokenised."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n')
    corpus = read_source(str(path), 0.5)
    path.write_text('{"text": "one and more"}\n{"text": "two"}\n')
    with pytest.raises(DataError, match="changed while it was being read"):
        corpus.validation, list(corpus.train)


def test_what_was_read_and_left_out_is_said_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By file and bytes on standard error; what was left out stands in data.json too."""
    for name in "train.txt", "val.txt", "other.txt":
        (tmp_path / "s").mkdir(exist_ok=True)
        (tmp_path / "s" / name).write_bytes(DOCUMENTS[0] * 20)
    size = 20 * len(DOCUMENTS[0])
    out = tmp_path / "data"
    assert main(["data", str(tmp_path / "s"), "--out", str(out), "--set", "data.vocab_size=270"]) == 0
    said = capsys.readouterr().err.splitlines()
    left_out = f"other.txt: left out ({size:,} bytes, only train.txt and val.txt are read)"
    assert {f"read train.txt: {size:,} bytes", f"read val.txt: {size:,} bytes", left_out} <= set(said)
    assert json.loads((out / "data.json").read_text())["notes"] == [left_out]
    (tmp_path / "a.csv").write_text("text,number\nthe cat,1\n" * 3000)
    out = tmp_path / "table"
    assert main(["data", str(tmp_path / "a.csv"), "--out", str(out)]) == 2
    insist = ["--as", "text", "--set", "data.vocab_size=260"]
    assert main(["data", str(tmp_path / "a.csv"), "--out", str(out), *insist]) == 0
