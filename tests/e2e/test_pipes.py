"""`compress` and `decompress` in pipes, as two processes: of any length, closed, cut, and into their own input."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "streams"
TEXT = (GOLDEN / "text").read_bytes()
REGROW = f"{sys.executable} -m regrow"
COMPRESS, DECOMPRESS = f"{REGROW} compress -q {GOLDEN}", f"{REGROW} decompress -q {GOLDEN}"


def shell(command: str, folder: Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, input=data, capture_output=True, check=False
    )


def test_two_processes_give_back_what_came_in(tmp_path: Path) -> None:
    command = f"{COMPRESS} --block-size 300 | tee stream | {DECOMPRESS} -"
    for data in (TEXT, b""):
        done = shell(command, tmp_path, data)
        assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")
    (tmp_path / "text").write_bytes(TEXT)
    os.mkfifo(tmp_path / "fifo")
    done = shell(f"{COMPRESS} text -o fifo & {DECOMPRESS} fifo -o back && wait", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"") and (tmp_path / "back").read_bytes() == TEXT
    assert (tmp_path / "fifo").is_fifo()
    assert (
        shell(f"{DECOMPRESS} -c fifo & {COMPRESS} text -o /dev/stdout > fifo; wait", tmp_path).stdout == TEXT
    )


def test_a_reader_that_leaves_ends_the_writer_without_a_word(tmp_path: Path) -> None:
    zeros = f"head -c 20000000 /dev/zero | {COMPRESS} --block-size 1000000"
    done = shell(f"{zeros} > stream", tmp_path)
    assert done.returncode == 0
    done = shell(f"{DECOMPRESS} < stream | head -c 5", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (141, bytes(5), b"")


def test_a_stream_that_is_cut_in_a_pipe_is_an_error_and_a_file_of_it_is_not_written(tmp_path: Path) -> None:
    assert shell(f"{COMPRESS} --block-size 300 > stream", tmp_path, TEXT).returncode == 0
    size = (tmp_path / "stream").stat().st_size
    done = shell(f"head -c {size - 20} stream | {DECOMPRESS} -o back", tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(b"regrow: error: standard input: is cut short")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stream"]
    done = shell(f"head -c {size - 20} stream | {DECOMPRESS}", tmp_path)
    assert done.returncode == 2 and done.stdout and TEXT.startswith(done.stdout), "what stands before the cut"
    done = shell(f"cat stream | {DECOMPRESS} --salvage -o back", tmp_path)
    assert done.returncode == 2 and b"--salvage: needs a file" in done.stderr


def test_a_file_that_grows_by_its_own_stream_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    for command in (
        f"{COMPRESS} < text >> text",
        f"{COMPRESS} -c text >> text",
        f"{DECOMPRESS} -c text >> text",
    ):
        done = shell(command, tmp_path)
        assert done.returncode == 2 and b"is what standard output is written to" in done.stderr
    assert (tmp_path / "text").read_bytes() == TEXT


def test_a_file_that_grows_meanwhile_is_read_as_far_as_it_went(tmp_path: Path) -> None:
    """And no further: it may grow faster than it is compressed."""
    (tmp_path / "log").write_bytes(TEXT)
    command = shlex.split(f"{COMPRESS} log")
    with subprocess.Popen(command, cwd=tmp_path) as process, (tmp_path / "log").open("ab") as log:
        while process.poll() is None:
            log.write(b"a line\n" * 1000)
            log.flush()
            time.sleep(0.01)
    assert process.returncode == 0
    text = shell(f"{DECOMPRESS} -c log.rg", tmp_path).stdout
    assert text[: len(TEXT)] == TEXT and len(text) < len(TEXT) + 1_000_000
    assert (tmp_path / "log").read_bytes().startswith(text)


@pytest.mark.parametrize(("answer", "written"), [(b"y\n", True), (b"n\n", False)])
def test_a_terminal_is_asked_before_a_file_is_replaced(tmp_path: Path, answer: bytes, written: bool) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    (tmp_path / "text.rg").write_bytes(b"old")
    master, slave = pty.openpty()
    with subprocess.Popen(
        shlex.split(f"{COMPRESS} text"), cwd=tmp_path, stdin=slave, stdout=subprocess.PIPE, stderr=slave
    ) as process:
        said = b""
        while b"[y/N]" not in said:
            said += os.read(master, 1000)
        os.write(master, answer)
        assert process.wait() == (0 if written else 2)
    os.close(slave)
    os.close(master)
    assert b"text.rg: is there already; replace it?" in said
    assert ((tmp_path / "text.rg").read_bytes() != b"old") is written


@pytest.mark.long
def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    peaks = []
    for megabytes in (12, 72):
        for command in (
            f"head -c {megabytes}M /dev/zero | {COMPRESS} > stream",
            f"{DECOMPRESS} < stream > /dev/null",
        ):
            measure = (
                f"import resource, subprocess; subprocess.run(['bash', '-c', {command!r}], check=True); "
            )
            measure += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            done = subprocess.run(
                [sys.executable, "-c", measure], cwd=tmp_path, capture_output=True, text=True, check=True
            )
            peaks.append(int(done.stdout) / 1024)
    small_in, small_out, large_in, large_out = peaks
    assert large_in < small_in + 25 and large_out < small_out + 25, peaks
