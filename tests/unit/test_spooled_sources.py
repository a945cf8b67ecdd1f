"""Training text that is no plain file: compressed, from standard input, from a URL, or in memory."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import regrow
from regrow.core.errors import DataError, EnvironmentProblem
from regrow.data.build import build_dataset
from regrow.data.dataset import Dataset
from regrow.data.readers import ReadAs, read_documents
from regrow.data.sources import read_source
from regrow.data.spooled import local_sources

TEXTS = [
    f"Chapter {i}: what a day it was, and what a night of wind and rain, größer as ever. " * 8
    for i in range(20)
]
SMALL = ["data.vocab_size=300"]


def zstd(data: bytes) -> bytes:
    compressed: bytes = pytest.importorskip("zstandard").compress(data)
    return compressed


PACKERS = [("gz", gzip.compress), ("xz", lzma.compress), ("zst", zstd)]


def same(a: Dataset, b: Dataset) -> bool:
    return a.val_bytes == b.val_bytes and np.array_equal(a.train_tokens, b.train_tokens)


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
def test_a_compressed_file_is_read_as_what_it_holds(tmp_path: Path, suffix: str, pack: Any) -> None:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    text = "\n\f\n".join(TEXTS).encode()
    files = {"a.txt": text, "a.jsonl": lines, "a.NDJSON": lines}
    for name, data in files.items():
        plain, packed = tmp_path / name, tmp_path / f"{name}.{suffix}"
        plain.write_bytes(data)
        packed.write_bytes(pack(data))
        assert list(map(bytes, read_documents(packed))) == list(map(bytes, read_documents(plain))) != []
    (tmp_path / f"b.txt.{suffix}").write_bytes(
        pack(text[:1000]) + pack(text[1000:])
    )  # as `cat` and bgzip make them
    assert b"".join(read_documents(tmp_path / f"b.txt.{suffix}")) == b"".join(
        read_documents(tmp_path / "a.txt")
    )


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
def test_a_large_one_is_mapped(
    tmp_path: Path, suffix: str, pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regrow.data.readers._MAPPED_FROM", 1000)
    (tmp_path / f"a.txt.{suffix}").write_bytes(pack("".join(TEXTS).encode()))
    (found,) = read_documents(tmp_path / f"a.txt.{suffix}")
    assert isinstance(found, memoryview) and bytes(found) == "".join(TEXTS).encode()


def test_a_compressed_parquet_file_is_read(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": TEXTS}), table)
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(table.getvalue()))
    assert [bytes(text).decode() for text in read_documents(tmp_path / "a.parquet.gz")] == TEXTS


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
def test_a_damaged_one_is_refused(tmp_path: Path, suffix: str, pack: Any) -> None:
    """Cut short it must not be a shorter text."""
    whole = pack("".join(TEXTS).encode())
    for number, data in enumerate((whole[:-5], whole[: len(whole) // 2], b"plain text", whole + b"more")):
        path = tmp_path / f"{number}.txt.{suffix}"
        path.write_bytes(data)
        with pytest.raises(
            DataError, match=rf"{number}\.txt\.{suffix}: cannot be unpacked \(.*\); make it again"
        ):
            list(read_documents(path, ReadAs("text")))


def test_what_is_no_text_inside_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"\0" * 257 + b"ustar" + b"\0" * 300))
    with pytest.raises(DataError, match=r"a\.tar\.gz: is a tar archive"):
        read_source(str(tmp_path / "a.tar.gz"), 0.1)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n"))
    with pytest.raises(DataError, match=r"a\.csv\.gz: is a CSV table"):
        read_source(str(tmp_path / "a.csv.gz"), 0.1)


def test_without_its_package_a_zst_file_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt.zst").write_bytes(b"any")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(EnvironmentProblem, match="pip install zstandard"):
        read_source(str(tmp_path / "a.txt.zst"), 0.1)


def test_train_and_val_may_be_compressed(tmp_path: Path) -> None:
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(b"train " * 100))
    (tmp_path / "val.txt").write_bytes(b"held out")
    corpus = read_source(str(tmp_path), 0.1)
    assert corpus.validation == b"held out" and corpus.train_bytes == 600


def test_standard_input_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = "\n\f\n".join(TEXTS).encode()
    (tmp_path / "a.txt").write_bytes(raw)
    wanted = regrow.make_data(tmp_path / "a.txt", tmp_path / "one", SMALL)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
    found = regrow.make_data("-", tmp_path / "two", SMALL)
    assert same(found, wanted) and found.name == "stdin"


def test_urls_are_read_by_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    raw = "\n\f\n".join(TEXTS).encode()
    with fsspec.open("memory://books/a.txt.gz", "wb") as file:
        file.write(gzip.compress(raw))
    with local_sources(["memory://books/a.txt.gz", "other"]) as (place, other):
        assert Path(place).name == "a.txt.gz" and gzip.decompress(Path(place).read_bytes()) == raw
        assert other == "other"
    assert not Path(place).exists()
    with (
        pytest.raises(
            EnvironmentProblem, match=r"memory://books/none: cannot be read \(.*; check the address"
        ),
        local_sources(["memory://books/none"]),
    ):
        pass
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with (
        pytest.raises(EnvironmentProblem, match="URLs need fsspec; pip install"),
        local_sources(["memory://a"]),
    ):
        pass


def test_texts_in_memory_are_documents(tmp_path: Path) -> None:
    lines = tmp_path / "texts"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    wanted = build_dataset(str(lines), tmp_path / "wanted", regrow_data_config(), read_as=ReadAs("jsonl"))

    def generator() -> Iterator[str]:
        yield from TEXTS

    rows = [{"id": i, "body": text} for i, text in enumerate(TEXTS)]
    for number, texts in enumerate(
        (TEXTS, tuple(t.encode() for t in TEXTS), generator(), [*TEXTS, "", None])
    ):
        assert same(regrow.make_data(texts, tmp_path / str(number), SMALL), wanted)
    assert same(regrow.make_data(rows, tmp_path / "rows", SMALL, field="body"), wanted)
    datasets = pytest.importorskip("datasets")
    for made in (datasets.Dataset.from_list(rows), datasets.Dataset.from_list(rows).to_iterable_dataset()):
        assert same(regrow.make_data(made, tmp_path / "dataset", SMALL, field="body"), wanted)
        with pytest.raises(
            DataError, match=r"no (column|field) text among id, body|no (column|field) text among"
        ):
            regrow.make_data(made, tmp_path / "no", SMALL)


def regrow_data_config() -> Any:
    return regrow.load_preset("demo", SMALL).data


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (3, "number 2 is of the type int; give strings"),
        ({"body": "x"}, "row 2 has no field text among body"),
        ({"text": 3}, "number 2 is of the type int"),
        (b"caf\xe9", r"number 2 is not UTF-8 \(byte 3\)"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, row: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        regrow.make_data(["a text", row], tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/a.jsonl?download=true", "a.jsonl"),
        ("https://host/a%20b.txt.gz?sig=" + "x" * 300 + "/y#z", "a b.txt.gz"),
        ("https://host/" + "x" * 300 + ".parquet", "x" * 92 + ".parquet"),
        ("https://host/..", "url"),
        ("https://host/a%2Fb", "url"),
        ("https://host/?a=b", "url"),
        ("s3://bucket/what?.txt", "what?.txt"),
    ],
)
def test_a_url_is_read_as_the_name_in_its_path_says(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by what signs it or asks for a download; and no name leaves the temporary folder or is too long for it."""
    opened = SimpleNamespace(open=lambda url, mode: io.BytesIO(b"text"))
    monkeypatch.setitem(sys.modules, "fsspec", opened)
    with local_sources([url]) as (copy,):
        assert Path(copy).name == name and Path(copy).read_bytes() == b"text"


def test_errors_speak_of_the_source_and_not_of_its_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    with pytest.raises(DataError, match=r"^standard input: is empty"), local_sources(["-"]) as sources:
        read_source(sources, 0.1)


def test_a_refused_connection_is_told_and_not_the_address_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1/a.txt"

    def refused(*arguments: Any) -> None:
        raise FileNotFoundError(url) from ConnectionRefusedError("Connect call failed")

    monkeypatch.setitem(sys.modules, "fsspec", SimpleNamespace(open=refused))
    sentence = re.escape(f"{url}: cannot be read (Connect call failed); check the address")
    with pytest.raises(EnvironmentProblem, match=sentence), local_sources([url]):
        pass
