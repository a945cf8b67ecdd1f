"""Names that are not UTF-8 come in, and whatever standard output is, something sensible goes out."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_cli import error_line, run_folder, stub

from regrow.cli import main
from regrow.cli.output import Output
from regrow.core.config.load import apply_overrides, load_config
from regrow.core.config.schema import Config

ODD = os.fsdecode(b"caf\xe9")  # Latin-1, as an old archive holds it


def regrow(
    *arguments: str, python: tuple[str, ...] = (), stdout: Any = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *python, "-m", "regrow", *arguments]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **environment}, check=False
    )


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow), "utf-8"])
def test_a_name_that_is_not_utf8_is_printed_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    run_folder(tmp_path / ODD)
    report = ("report", str(tmp_path / ODD))
    done = regrow(*report, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"caf\\xe9" in done.stdout and b"udc" not in done.stdout
    done = regrow(*report, "--json", PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout)["report"] == str(tmp_path / ODD / "report.html")
    done = regrow("report", str(tmp_path / ODD / "none"), PYTHONIOENCODING=encoding)
    assert done.returncode == 2 and done.stderr.startswith(b"regrow: error: ")
    assert b"is a bug" not in done.stderr


def test_a_closed_output_loses_what_is_printed_and_nothing_else(tmp_path: Path) -> None:
    """Unnoticed, the next file opened gets the closed one's number, and the output goes into that file."""
    run_folder(tmp_path)
    command = f"{sys.executable} -m regrow report {tmp_path} >&- 2>&- <&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>") and page.endswith("</html>")


def test_a_reader_that_leaves_is_no_verdict() -> None:
    """Exit code 1 would be one; 141 is what a shell says of a program that SIGPIPE ended."""
    reading, writing = os.pipe()
    os.close(reading)
    for arguments in (["config"], ["config", "--json"], ["--help"]):
        done = regrow(*arguments, stdout=writing)
        assert (done.returncode, done.stderr) == (141, b"")
    os.close(writing)


def test_a_full_disk_behind_the_output_is_an_error() -> None:
    with Path("/dev/full").open("wb") as full:
        done = regrow("config", stdout=full)
    sentence = (
        b"standard output or a temporary file cannot be written (no space left on device); free some space."
    )
    assert (done.returncode, done.stderr) == (2, b"regrow: error: " + sentence + b"\n")


def test_without_docstrings_there_is_help_all_the_same() -> None:
    for arguments in (["--help"], ["data", "--help"]):
        assert regrow(*arguments, python=("-OO",)).stdout == regrow(*arguments).stdout


def test_ctrl_c_while_the_command_line_is_loading_is_130() -> None:
    code = """
import builtins, sys
from regrow.cli import main
from regrow.cli.output import Output
real = builtins.__import__
def interrupted(name, *rest, **more):
    if name == "typer":
        raise KeyboardInterrupt
    return real(name, *rest, **more)
builtins.__import__ = interrupted
sys.exit(main(["config"]))
"""
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (130, b"regrow: error: interrupted\n")


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["--nonsense"], ["train"], ["audit"], ["sample", "a", "--tokens", "0"], ["config", "no"]],
)
def test_wrong_usage_is_one_line_that_says_where_the_usage_is(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "--help` shows the usage." in error_line(capsys)


def test_a_config_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf[train]\nmax_steps = 3\n")
    assert load_config(path).train.max_steps == 3


def test_an_override_that_is_not_utf8_can_be_stored() -> None:
    assert apply_overrides(Config(), [f"preset={ODD}"]).preset == "caf\ufffd"


WRITERS = [
    ["compress", "artifact", "FILE", "-o"],
    ["decompress", "artifact", "FILE", "-o"],
    ["report", "run", "-o"],
    ["audit", "FILE", "-o"],
    ["audit", "FILE", "--sarif"],
]
FOLDER_WRITERS = [
    ["data", "FILE", "--out"],
    ["train", "--data", "data", "--out"],
    ["demo", "--out"],
    ["submit", "run", "--out"],
]


@pytest.mark.parametrize("arguments", [*WRITERS, *FOLDER_WRITERS], ids=" ".join)
@pytest.mark.parametrize("place", ["wrong kind", "under a file", "long name", "no folder can be made"])
def test_an_output_that_cannot_be_written_is_told_before_work_begins(
    arguments: list[str],
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("work began")

    stub(monkeypatch, "predict.codec", load=work, compress=work, decompress=work, Expected=Any)
    stub(monkeypatch, "training.trainer", train=work)
    stub(monkeypatch, "challenge.audit.one", audit_one=work, check_path=work)
    stub(monkeypatch, "challenge.submit.record", submit=work, Author=Any)
    monkeypatch.setattr("regrow.data.build.read_source", work)
    monkeypatch.setattr("regrow.report.page.load_runs", work)
    text, folder = tmp_path / "text", tmp_path / "folder"
    text.write_text("text\n" * 99)
    folder.mkdir()
    out = {
        "wrong kind": text if arguments in FOLDER_WRITERS else folder,
        "under a file": text / "out",
        "long name": tmp_path / ("n" * 256),
        "no folder can be made": Path("/proc/nowhere/out"),
    }[place]
    given = [str(text) if part == "FILE" else part for part in arguments]
    assert main([*given, str(out)]) == 2
    assert str(out) in error_line(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "text"]


@pytest.mark.parametrize(
    "arguments", [["report", "RUN", "-o"], ["audit", "FILE", "-o"], ["audit", "FILE", "--sarif"]]
)
def test_no_output_replaces_a_file_unasked_or_what_is_read(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(tmp_path / "run")
    script = tmp_path / "train.csv"
    script.write_text("print(1)\n")
    given = [{"RUN": str(tmp_path / "run"), "FILE": str(script)}.get(part, part) for part in arguments]
    out = tmp_path / "out.csv"
    out.write_text("old")
    assert main([*given, str(out)]) == 2
    assert "is there already; give -f" in error_line(capsys) and out.read_text() == "old"
    main([*given, str(out), "-f"])
    capsys.readouterr()
    assert out.read_text() != "old"
    read = tmp_path / "run" / "result.json" if "report" in given else script
    before = read.read_bytes()
    out.unlink()
    out.hardlink_to(read)
    for name in (out, read):
        assert main([*given, str(name), "-f"]) == 2
        assert "is what the command reads" in error_line(capsys)
    assert read.read_bytes() == before


class Terminal(io.StringIO):
    """80 columns wide."""

    def isatty(self) -> bool:
        return True


def test_tables_align_by_what_stands_in_them_and_break_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    output = Output(json=False, quiet=False, stream=stream)
    output.table([("a", "flagged", "1.25"), ("bcd", "clean", "-")], ("of", "verdict", "bits per byte"))
    assert stream.getvalue().splitlines() == [
        "of   verdict  bits per byte",
        "a    flagged           1.25",
        "bcd  clean                -",
    ]
    long = Terminal()
    Output(json=False, quiet=False, stream=long).table([("sha256", "f" * 90), ("why", "a word " * 20)])
    assert long.getvalue().splitlines()[0] == f"sha256  {'f' * 90}", "what is copied is in one piece"
    assert all(line == line.rstrip() for line in long.getvalue().splitlines())
