"""Where a command reads and writes bytes: files, devices and pipes by name, standard input and output for `-`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from regrow.core.errors import ConfigError, DataError, EnvironmentProblem, RegrowError, readable
from regrow.core.files import atomic_write, check_output, is_special, same_file

if TYPE_CHECKING:
    from regrow.cli.output import Output

STANDARD = Path("-")  # standard input or output


@contextlib.contextmanager
def source(file: Path) -> Iterator[BinaryIO]:
    """A file, device or pipe, or standard input, to read bytes from. Raises DataError if it cannot be opened."""
    if file == STANDARD:
        yield sys.stdin.buffer
        return
    with readable(file):
        opened = file.open("rb")
    with opened:
        yield opened


def check_source(file: Path) -> None:
    """Raise DataError for a file that cannot be read, before work begins. What can be opened only once is not tried."""
    if file != STANDARD and not is_special(file):
        with source(file):
            pass


@contextlib.contextmanager
def destination(
    out: Path, *, force: bool, sources: Sequence[Path], mode: int | None = None
) -> Iterator[BinaryIO]:
    """A file, or standard output, to write bytes into, by the rule of `check_output`; a new file gets `mode`."""
    if out == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    check_output(out, force=force, sources=sources)
    with atomic_write(out, mode) as file:
        yield file


def check_stdout(sources: Sequence[Path], *, binary: bool) -> None:
    """Raise an error where standard output is one of the files read (`>> FILE`), or a terminal for `binary` bytes."""
    for file in sources:
        if same_file(0 if file == STANDARD else file, 1):
            raise EnvironmentProblem(f"{file}: is what standard output is written to; write to another file.")
    if binary and sys.stdout.isatty():
        raise ConfigError(
            "standard output is a terminal, which cannot show compressed bytes; give -o OUT, or -f."
        )


def files_and_outputs(
    files: Sequence[Path] | None, out: Path | None, to_stdout: bool, named: Callable[[Path], Path]
) -> list[tuple[Path, Path]]:
    """Each file to read (standard input if none is given) and where its result goes: `out`, standard output for
    standard input or if `to_stdout`, else `named(file)`. Raises ConfigError for what cannot be meant."""
    if to_stdout and out is not None:
        raise ConfigError("--out and --stdout both say where to write; give one of them.")
    if not files and sys.stdin.isatty():
        raise ConfigError("no FILE is given and standard input is a terminal; give a FILE, or - to type one.")
    files = files or [STANDARD]
    if out is not None and out != STANDARD and len(files) > 1:
        raise ConfigError(f"--out {out}: takes one FILE; leave it out, and each gets a name of its own.")
    twice = next((file for i, file in enumerate(files) if file in files[:i]), None)
    if twice is not None:
        raise ConfigError(f"{twice}: is given twice.")
    out = STANDARD if to_stdout else out
    return [(file, out or (STANDARD if file == STANDARD else named(file))) for file in files]


def refuse_json(json: bool) -> None:
    """Standard output holds one thing. Raises ConfigError if that is `json` and the result too."""
    if json:
        raise ConfigError(
            "--json: prints on standard output, where the result goes; choose a file with --out."
        )


def each_file(
    jobs: Sequence[tuple[Path, Path]], work: Callable[[Path, Path], dict[str, object]], output: Output
) -> None:
    """`work` on every file and its output, and what it returns as the command's result (of several as `files`).

    One that fails costs the others nothing; its error is a line, and at the end there is one for all of them.
    """
    if len(jobs) == 1:
        output.result(work(*jobs[0]))
        return
    results: list[dict[str, object]] = []
    failed: list[Path] = []
    for file, to in jobs:
        try:
            results.append(work(file, to))
        except RegrowError as error:
            failed.append(file)
            sys.stderr.write(f"regrow: error: {error}\n")
            results.append({"file": file, "error": str(error)})
    output.result({"files": results})
    if failed:
        raise DataError(f"{len(failed)} of {len(jobs)} files failed: {', '.join(map(str, failed))}.")
