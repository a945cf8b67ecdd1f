"""A file is replaced whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regrow.core.errors import EnvironmentProblem
from regrow.core.files import (
    atomic_write,
    atomic_write_bytes,
    atomic_write_text,
    check_output,
    check_writable,
    sha256_hex,
)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_new_file_appears_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    atomic_write_bytes(path, b"\x00one")
    assert path.read_bytes() == b"\x00one"
    assert names(path.parent) == ["file.bin"]


def test_text_is_utf8_with_line_ends_as_given(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "t", "é\r\n")
    assert (tmp_path / "t").read_bytes() == b"\xc3\xa9\r\n"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_the_old_file_stays_when_the_block_fails(failure: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(failure), atomic_write(path) as file:
        file.write(b"half of the new")
        raise failure
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentProblem, match="no space left on device") as caught:
        atomic_write_bytes(path, b"new")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        atomic_write_bytes(tmp_path / "file" / "below", b"new")


def test_a_file_that_the_block_cannot_read_is_not_blamed_on_the_one_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "file"):
        (tmp_path / "missing").read_bytes()
    assert names(tmp_path) == []


def test_the_mode_is_that_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_bytes(b"")
    atomic_write_bytes(tmp_path / "new", b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ordinary", "new")}
    assert len(modes) == 1


def test_the_mode_of_a_replaced_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.write_bytes(b"")
    path.chmod(0o600)
    atomic_write_bytes(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("data", [b"abc", memoryview(b"abc")])
def test_sha256_is_the_published_one(data: Any) -> None:
    assert sha256_hex(data) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_longest_name_there_is_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    check_writable(path)
    atomic_write_bytes(path, b"one")
    assert names(tmp_path) == [path.name]


def test_a_folder_without_permission_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)  # the super-user is refused nothing
    for path, folder in ((tmp_path / "file", False), (tmp_path, True), (tmp_path / "new" / "sub", True)):
        with pytest.raises(EnvironmentProblem, match=r"cannot be written \(permission denied\)"):
            check_writable(path, folder=folder)


def test_a_link_stays_and_the_file_it_names_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    link, target = tmp_path / "link", tmp_path / "inner" / "target"
    link.symlink_to("inner/target")
    for content in (b"made", b"made anew"):
        check_writable(link)
        atomic_write_bytes(link, content)
        assert link.is_symlink() and target.read_bytes() == content
    assert names(tmp_path / "inner") == ["target"]
    link.unlink()
    link.symlink_to("link")
    with pytest.raises(EnvironmentProblem, match="symbolic links"):
        atomic_write_bytes(link, b"")


def test_a_device_is_written_and_stays_a_device(tmp_path: Path) -> None:
    for path in (Path("/dev/null"), tmp_path / "link"):
        check_output(path)
        atomic_write_bytes(path, b"x")
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to("/dev/null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(EnvironmentProblem, match="no space left"):
        atomic_write_bytes(Path("/dev/full"), b"x")


def test_a_fifo_is_written_and_stays_a_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    check_output(fifo)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
        atomic_write_bytes(fifo, b"through")
        assert reader.communicate()[0] == b"through"
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_reader_of_a_fifo_that_leaves_is_a_broken_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BrokenPipeError), atomic_write(fifo) as file:
        os.close(reading)
        file.write(bytes(1 << 20))


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_what_stood_in_standard_output_stays(name: str, tmp_path: Path) -> None:
    """Opened by its path, a file behind /dev/stdout would be cut; replaced, the shell's own output would be lost."""
    (tmp_path / "link").symlink_to("/dev/stdout")
    code = """
import sys, pathlib
from regrow.core.files import atomic_write_bytes, check_output
print("before", flush=True)
check_output(pathlib.Path(sys.argv[1]))
atomic_write_bytes(pathlib.Path(sys.argv[1]), b"between\\n")
print("after", flush=True)
"""
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", code, name], stdout=out, check=True, cwd=tmp_path)
    assert (tmp_path / "out").read_text() == "before\nbetween\nafter\n"
    piped = subprocess.run(
        [sys.executable, "-c", code, name], stdout=subprocess.PIPE, check=True, cwd=tmp_path
    )
    assert piped.stdout == b"before\nbetween\nafter\n"


def test_a_file_that_is_there_is_replaced_when_forced_or_agreed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    check_output(path)
    path.write_bytes(b"old")
    with pytest.raises(EnvironmentProblem, match="is there already; give -f"):
        check_output(path)
    check_output(path, force=True)
    for answer, fine in (("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("", False)):
        terminal = io.StringIO(answer)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        with contextlib.nullcontext() if fine else pytest.raises(EnvironmentProblem):
            check_output(path)
        assert "replace it? [y/N]" in capsys.readouterr().err


def test_what_a_command_reads_is_never_its_output(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"precious")
    (tmp_path / "soft").symlink_to(source)
    (tmp_path / "hard").hardlink_to(source)
    (tmp_path / "folder").symlink_to(tmp_path)
    for name in ("source", "soft", "hard", "folder/source"):
        with pytest.raises(EnvironmentProblem, match="is what the command reads"):
            check_output(tmp_path / name, force=True, sources=[tmp_path / "none", source])
