"""What `regrow data` says it read and left out: links, other files, foreign formats, nulls."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

from regrow.core.errors import DataError
from regrow.data import readers
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


def lines_of(path: Path, kind: str | None = None) -> tuple[list[str], list[str]]:
    """What is said of a source: files read, and what was left out."""
    corpus = read_source(str(path), 0.3, read_as=readers.ReadAs(kind))
    return list(corpus.files), list(corpus.left_out)


def test_links_are_followed_once_and_everything_left_out_is_named(tmp_path: Path) -> None:
    """Linked folders are read, a circle of links ends, a broken link and a hidden file are named."""
    folder, elsewhere = tmp_path / "texts", tmp_path / "elsewhere"
    write(folder / "a" / "1.txt", LINE)
    write(folder / ".hidden", LINE)
    write(elsewhere / "2.txt", LINE * 2)
    (elsewhere / "back").symlink_to(folder, target_is_directory=True)
    (folder / "0-again").symlink_to("a", target_is_directory=True)
    (folder / "b").symlink_to(elsewhere, target_is_directory=True)
    (folder / "c.txt").symlink_to("a/1.txt")
    (folder / "gone.txt").symlink_to("nowhere.txt")
    (folder / "self").symlink_to("self")
    os.mkfifo(folder / "pipe")
    files, left_out = lines_of(folder)
    assert files == [f"a/1.txt: {len(LINE)} bytes", f"b/2.txt: {2 * len(LINE)} bytes"]
    assert sorted(left_out) == [
        f".hidden: left out ({len(LINE)} bytes, hidden)",
        "0-again: left out (the same as a, which is read)",
        "b/back: left out (the same as ., which is read)",
        f"c.txt: left out ({len(LINE)} bytes, the same as a/1.txt, which is read)",
        "gone.txt: left out (a link to nowhere.txt, which is not there)",
        "pipe: left out (no regular file)",
        "self: left out (a link to self, which is not there)",
    ]


def test_a_file_whose_folder_is_linked_too_is_read_once(tmp_path: Path) -> None:
    """The link to the file comes first by name; its folder is found only through another link."""
    write(tmp_path / "out" / "x.txt", LINE)
    write(tmp_path / "out" / "y.txt", LINE * 3)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").symlink_to("../out/x.txt")
    (tmp_path / "in" / "b").symlink_to("../out", target_is_directory=True)
    files, left_out = lines_of(tmp_path / "in")
    assert [line.split(":")[0] for line in files] == ["a.txt", "b/y.txt"]
    assert [line.split(":")[0] for line in left_out] == ["b/x.txt"]


def test_what_lies_beside_train_and_val_is_named(tmp_path: Path) -> None:
    """Only the pair is read; every other file is left out with its size."""
    for name, times in ("train.txt", 9), ("val.txt", 2), ("more.txt", 7), ("deep/er.txt", 1):
        write(tmp_path / name, LINE * times)
    files, left_out = lines_of(tmp_path)
    assert files == [f"train.txt: {9 * len(LINE)} bytes", f"val.txt: {2 * len(LINE)} bytes"]
    assert left_out == [
        f"deep/er.txt: left out ({len(LINE)} bytes, only train.txt and val.txt are read)",
        f"more.txt: left out ({7 * len(LINE)} bytes, only train.txt and val.txt are read)",
    ]


def test_a_long_list_ends_in_a_number(tmp_path: Path) -> None:
    """A folder of many files does not fill the screen."""
    for i in range(33):
        write(tmp_path / f"{i:02}.txt", LINE)
    files, _ = lines_of(tmp_path)
    assert (len(files), files[-1]) == (21, "... and 13 more")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.json", '[{"text": "x"}]', "JSON"),
        ("a.txt", ' [\n {"text": "x"}]', "JSON"),
        ("a.txt", '{"text": "x"}\n{"text": "y"}\n', "JSON"),
        ("a.CSV", "text,id\nx,1\n", "a CSV table"),
        ("a.tsv", "text\tid\nx\t1\n", "a TSV table"),
        ("a.html", "hello", "HTML"),
        ("a.txt", "\n<!DOCTYPE html>\n<html><p>x", "HTML"),
        ("a", '<?xml version="1.0"?><a/>', "XML"),
        ("a.ipynb", "{}", "a notebook"),
        ("a.txt", "%PDF-1.4\n% text text", "a PDF document"),
        ("a.doc", "{\\rtf1 text}", "an RTF document"),
        ("a.txt", b"\x1f\x8b\x08\0" + LINE, "a gzip file"),
        ("a.docx", b"PK\x03\x04" + LINE, "a zip archive"),
        ("a.txt", b"\xff\xfea\0b\0", "UTF-16 text"),
        ("a.txt", "id,text,label\n1,hello there,pos\n2,well,neg\n", "a CSV table"),
        ("a.txt", 'id,text\r\n1,"hello, ""there""\nagain"\r\n2,well\r\n', "a CSV table"),
        ("a.txt", "\ufeffid;text\n1;x\n2;y\n", "a CSV table"),
        ("a.txt", "1,2,x\n" * 5, "a CSV table"),
        ("a", "id\ttext\n1\tx, y\n2\ty\n", "a TSV table"),
        ("a.txt", "id,text\n" + "".join(f"{i},{'word ' * 90}\n" for i in range(400)), "a CSV table"),
        ("a.txt", "[1, 2, 3]", "JSON"),
        ("a.txt", "[[1, 2],\n [3]]\n", "JSON"),
        ("a.txt", "<title>x</title>\n<p>y", "HTML"),
        ("a.txt", '\n<div class="x">\n<p>y', "HTML"),
    ],
)
def test_foreign_formats_are_named_and_refused_but_for_who_insists(
    tmp_path: Path, name: str, data: str | bytes, says: str
) -> None:
    """Syntax is not to be trained on by mistake; `--as text` says that it is none."""
    path = write(tmp_path / "x" / name, data)
    for source in path, path.parent:
        with pytest.raises(DataError, match=f"{name}: is {says}.* --as text"):
            read_source(str(source), 0.3)
    assert lines_of(path.parent, "text") == ([f"{name}: {path.stat().st_size:,} bytes"], [])


def test_texts_that_only_look_a_little_foreign_are_text(tmp_path: Path) -> None:
    """Brackets, tags and quotes begin ordinary books and programs too."""
    for text in (
        "[Illustration]\n",
        '["What?"] she said',
        "{x} is a set",
        "<i>Title</i>\n",
        "PK and MZ\n",
        "a,b\n",
        "[1] See below.\n[2] See above.\n",
        "Hear, hear\nLook, look\nTake, take\n",
        "Roses are red,\nViolets are blue,\nSugar is sweet,\n",
        "apples, pears, plums\n" * 9,
        "2026-01-01 12:00:00,123 started\n" * 9,
        "one;\ntwo;\nthree;\n",
        "\tint a;\n\tint b;\n\tint c;\n",
        "a,b\nc,d,e\nf\n",
        "f(a,b);\ng(a,b);\nh(a,b);\n",
        "for (a;b;c)\n" * 3,
        'A line, with "a quote\n' * 9,
        "He said,he went,he slept\n\nAnd she,too,slept\n",
    ):
        assert read_documents(write(tmp_path / "a.txt", text)) == [text.encode()]


def test_a_null_is_left_out_and_counted_in_json_lines_and_parquet_alike(tmp_path: Path) -> None:
    """One rule for both, and the field may have any name."""
    texts = ["one", None, "", "two", None, "three"]
    write(tmp_path / "a.jsonl", "\n".join(json.dumps({"id": 1, "body": text}) for text in texts))
    sources = [tmp_path / "a.jsonl"]
    if importlib.util.find_spec("pyarrow"):
        import pyarrow
        import pyarrow.parquet

        sources.append(tmp_path / "a.parquet")
        pyarrow.parquet.write_table(pyarrow.table({"id": [1] * 6, "body": texts}), sources[-1])
    for path in sources:
        corpus = read_source(str(path), 0.3, read_as=readers.ReadAs(None, "body"))
        assert sorted([*(bytes(d.text) for d in corpus.train), *corpus.held_out]) == [
            b"one",
            b"three",
            b"two",
        ]
        assert corpus.left_out == (f"{path.name}: 3 rows left out (no text, or null, in the field body)",)
        with pytest.raises(DataError, match=r"(field|column) text among id, body; .* --text-field"):
            read_source(str(path), 0.3)


def test_a_hidden_folder_is_left_out_with_its_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", LINE)
    write(tmp_path / ".git" / "objects" / "x", b"12345")
    write(tmp_path / ".git" / "y", b"678")
    assert lines_of(tmp_path)[1] == [".git: left out (8 bytes, hidden)"]


def test_a_pipe_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A source is read several times; the second time a pipe would never end."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe: is a pipe or a device.* write it to a file first"):
        read_source(str(tmp_path / "pipe"), 0.1)


def test_a_folder_whose_name_is_not_utf8_gives_a_name_that_is(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    write(folder / "a.txt", LINE * 9)
    assert read_source(str(folder), 0.1).name == "caf\ufffd"


def test_several_sources_are_one_corpus_and_each_file_is_read_once(tmp_path: Path) -> None:
    """Files and folders, in the order given."""
    (tmp_path / "b").mkdir()
    write(tmp_path / "a.txt", "one\n" * 30)
    write(tmp_path / "b" / "c.txt", "two\n" * 40)
    write(tmp_path / "b" / "d.txt", "six\n" * 50)
    places = [str(tmp_path / name) for name in ("b/d.txt", "a.txt", "b", "a.txt")]
    corpus = read_source(places, 0.5)
    assert corpus.name == "d.txt and 3 more"
    assert corpus.files == ("b/d.txt: 200 bytes", "a.txt: 120 bytes", "b/c.txt: 160 bytes")
    assert corpus.train_bytes + sum(map(len, corpus.held_out)) == 480
    with pytest.raises(DataError, match="nowhere: no such file"):
        read_source([places[0], str(tmp_path / "nowhere")], 0.5)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_a_text_in_wide_letters_is_named_by_its_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    text = '{"text": "It was the best of times."}\n' * 20
    with pytest.raises(
        DataError, match=rf"is {encoding[:6].upper()} text.*iconv -f {encoding[:6].upper()} -t"
    ):
        lines_of(write(tmp_path / name, text.encode(encoding)))


def test_a_jsonl_file_in_latin_1_is_not_called_broken_json(tmp_path: Path) -> None:
    data = b'{"text": "a"}\n' + '{"text": "café"}\n'.encode("latin-1")
    with pytest.raises(DataError, match=r"line 2 is not UTF-8 \(byte 14 of it\).*iconv"):
        lines_of(write(tmp_path / "a.jsonl", data))


def test_a_text_field_that_no_file_has_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", LINE * 50)
    with pytest.raises(DataError, match="--text-field body: nothing here is JSON lines or Parquet"):
        read_source(str(tmp_path), 0.3, read_as=readers.ReadAs(None, "body"))
    write(tmp_path / "b.jsonl", json.dumps({"body": LINE.decode() * 50}))
    assert len(read_source(str(tmp_path), 0.3, read_as=readers.ReadAs(None, "body")).files) == 2


def test_equal_documents_are_said_to_be_one_text(tmp_path: Path) -> None:
    row = json.dumps({"text": LINE.decode() * 50})
    corpus = read_source(str(write(tmp_path / "a.jsonl", f"{row}\n" * 300)), 0.3)
    assert corpus.split.startswith(
        "all 300 documents are the same text, which is read once; held out: its end ("
    )
    assert corpus.train_bytes + corpus.held_out.total_bytes == 50 * len(LINE)
