"""`regrow compress` and `decompress` as people know such commands: names, several files, lists, tests, salvage."""

from __future__ import annotations

import io
import json
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from regrow.cli import main

GOLDEN = Path(__file__).parents[1] / "golden" / "streams"
TEXT = (GOLDEN / "text").read_bytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a run, of which the artifact counts, and a text."""
    (tmp_path / "run").mkdir()
    shutil.copy(GOLDEN / "artifact.safetensors", tmp_path / "run")
    (tmp_path / "a.txt").write_bytes(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("regrow.cli.compress.array_cache", lambda wanted: None)
    monkeypatch.setattr("regrow.cli.decompress.array_cache", lambda wanted: None)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out == "" or "--json" in arguments) and captured.err.splitlines()[-1].startswith(
        "regrow: error: "
    )
    return captured.err.splitlines()[-1]


def give(monkeypatch: pytest.MonkeyPatch, data: bytes, terminal: bool = False) -> None:
    stream = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdin", stream)


def test_a_stream_and_its_text_have_names_of_their_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.txt").chmod(0o600)
    assert main(["compress", "run", "a.txt", "-q"]) == 0
    assert "a.txt.rg: 2" in capsys.readouterr().out.replace(f"{len(TEXT):,}", "2")
    assert stat.S_IMODE((folder / "a.txt.rg").stat().st_mode) == 0o600, (
        "no more people may read it than before"
    )
    assert "a.txt: is there already; give -f" in fails(capsys, "decompress", "run", "a.txt.rg")
    (folder / "a.txt").unlink()
    assert main(["decompress", "run/artifact.safetensors", "a.txt.rg", "-q"]) == 0
    assert (folder / "a.txt").read_bytes() == TEXT and names(folder) == {"a.txt", "a.txt.rg", "run"}
    (folder / "a.txt").write_bytes(b"old")
    assert main(["decompress", "run", "a.txt.rg", "-q", "-k", "-f"]) == 0
    assert (folder / "a.txt").read_bytes() == TEXT
    (folder / "a.txt.rg").rename(folder / "b")
    assert "b: does not end in .rg; say with --out" in fails(capsys, "decompress", "run", "b")
    assert main(["decompress", "run", "b", "-o", "c", "-q"]) == 0 and (folder / "c").read_bytes() == TEXT


def test_several_files_each_have_their_stream_and_one_that_fails_costs_the_others_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b").write_bytes(b"")
    assert main(["compress", "run", "a.txt", "b", "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)["files"]
    assert [(each["out"], each["raw_bytes"]) for each in found] == [("a.txt.rg", len(TEXT)), ("b.rg", 0)]
    assert [each["stream_bytes"] for each in found] == [
        (folder / n).stat().st_size for n in ("a.txt.rg", "b.rg")
    ]
    (folder / "a.txt").unlink()
    (folder / "b").unlink()
    spoiled = bytearray((folder / "a.txt.rg").read_bytes())
    spoiled[8] ^= 1
    (folder / "a.txt.rg").write_bytes(spoiled)
    assert main(["decompress", "run", "a.txt.rg", "b.rg", "-q"]) == 2
    assert "1 of 2 files failed: a.txt.rg." in capsys.readouterr().err
    assert (folder / "b").read_bytes() == b"" and not (folder / "a.txt").exists()
    assert main(["decompress", "run", "-t", "a.txt.rg", "b.rg", "-q"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "b.rg: sound, 0 bytes\n"
    assert (
        "a.txt.rg: is damaged in the block at byte 8" in captured.err
        and "1 of 2 files failed" in captured.err
    )


def test_standard_input_goes_to_standard_output(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    for given in ([], ["-"]):
        with (folder / "a.txt").open() as text:
            monkeypatch.setattr(sys, "stdin", text)
            assert main(["compress", "run", *given, "-q"]) == 0
        stream = capsysbinary.readouterr().out
        (folder / "s").write_bytes(stream)
        for more in (["s", "-c"], ["s", "-o", "-"], ["s", "-o", "/dev/stdout"], []):
            with (folder / "s").open() as source:
                monkeypatch.setattr(sys, "stdin", source)
                assert main(["decompress", "run", "-q", *more]) == 0
            captured = capsysbinary.readouterr()
            if "/dev/stdout" not in more:  # which goes past what pytest captures
                assert (captured.out, captured.err) == (TEXT, b"")
    (folder / "t").write_bytes(stream)
    assert main(["decompress", "run", "-qc", "s", "t"]) == 0
    assert capsysbinary.readouterr().out == 2 * TEXT


def test_what_cannot_be_meant_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b").write_bytes(b"")
    for command in ("compress", "decompress"):
        assert "give one of them" in fails(capsys, command, "run", "a.txt", "-c", "-o", "x")
        assert "takes one FILE" in fails(capsys, command, "run", "a.txt", "b", "-o", "x")
        assert "a.txt: is given twice" in fails(capsys, command, "run", "a.txt", "a.txt", "-c")
        assert "--json: prints on standard output" in fails(capsys, command, "run", "a.txt", "-c", "--json")
        assert "none: cannot be read (no such file" in fails(capsys, command, "run", "none", "-c")
        assert "run: cannot be read (is a directory)" in fails(capsys, command, "run", "run", "-c")
        assert "there is no such file" in fails(capsys, command, "b/../", "b", "-c")
        give(monkeypatch, b"", terminal=True)
        assert "standard input is a terminal" in fails(capsys, command, "run")
        monkeypatch.undo()
        monkeypatch.chdir(folder)
    assert "two streams in one" in fails(capsys, "compress", "run", "a.txt", "b", "-c")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "which cannot show compressed bytes" in fails(capsys, "compress", "run", "a.txt", "-c")
    assert "three things" in fails(capsys, "decompress", "-t", "-l", "run", "b")
    assert "write no file" in fails(capsys, "decompress", "-t", "-o", "x", "run", "b")
    assert names(folder) == {"a.txt", "b", "run"}


def test_neither_input_nor_artifact_is_ever_the_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = folder / "run" / "artifact.safetensors"
    before = artifact.read_bytes()
    (folder / "hard").hardlink_to(artifact)
    (folder / "soft").symlink_to(folder / "a.txt")
    for out in ("a.txt", "soft", "hard", "run/artifact.safetensors", "run/../a.txt"):
        for command in ("compress", "decompress"):
            said = fails(capsys, command, "run", "a.txt", "-f", "-o", out)
            assert f"{out}: is what the command reads" in said
    assert (folder / "a.txt").read_bytes() == TEXT and artifact.read_bytes() == before


def test_a_list_needs_neither_artifact_nor_decoding(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.txt").write_bytes(TEXT[:500] + bytes(400))
    assert main(["compress", "run", "a.txt", "-q", "--block-size", "300"]) == 0
    shutil.copy(GOLDEN / "fixed.rg", folder / "one.rg")
    capsys.readouterr()
    assert main(["decompress", "-l", "a.txt.rg", "one.rg"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["stream", "compressed", "text", "ratio", "artifact", "blocks"]
    size = (folder / "a.txt.rg").stat().st_size
    assert rows[1][:4] == ["a.txt.rg", f"{size:,}", "900", f"{900 / size:.3f}"] and rows[1][5] == "3"
    assert rows[2][2:4] == ["-", "-"], "only decoding tells how long the text of one block is"
    assert main(["decompress", "run", "a.txt.rg", "-l", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["streams"]
    assert (found["raw_bytes"], found["stream_bytes"], sum(found["blocks"].values())) == (900, size, 3)
    assert "no stream" in fails(capsys, "decompress", "-l", "one.rg", "a.txt")
    assert "standard input: cannot be listed" in fails(capsys, "decompress", "-l", "run", "-")


def test_salvage_writes_what_is_sound_and_exits_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compress", "run", "a.txt", "-q", "--block-size", "200"]) == 0
    assert main(["decompress", "run", "a.txt.rg", "-o", "whole", "--salvage", "-q"]) == 0
    assert (folder / "whole").read_bytes() == TEXT
    stream = bytearray((folder / "a.txt.rg").read_bytes())
    stream[40] ^= 0x55
    (folder / "bad.rg").write_bytes(stream)
    assert "bad.rg: is damaged in the block at byte 8" in fails(capsys, "decompress", "run", "bad.rg", "-q")
    assert not (folder / "bad").exists()
    assert main(["decompress", "run", "bad.rg", "--salvage", "--json", "-q"]) == 1
    captured = capsys.readouterr()
    (hole,) = json.loads(captured.out)["holes"]
    assert (hole["at"], hole["raw_bytes"], hole["out_at"]) == (8, 200, 0)
    assert "bad.rg: " in captured.err and "200 bytes are left out at byte 0 of the output" in captured.err
    assert (folder / "bad").read_bytes() == TEXT[200:]
    (folder / "cut.rg").write_bytes((folder / "a.txt.rg").read_bytes()[:-1])
    assert main(["decompress", "run", "cut.rg", "--salvage", "-q"]) == 1
    assert (folder / "cut").read_bytes() == TEXT


def test_a_folder_without_an_artifact_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    for arguments in (
        ["inspect", "empty"],
        ["compress", "empty", "a.txt"],
        ["eval", "empty", "--data", "a.txt"],
    ):
        assert "empty/artifact.safetensors: " in fails(capsys, *arguments)
    assert main(["inspect", "run", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["artifact"] == "run/artifact.safetensors"
