"""Where a command writes: a file that is made or replaced whole, what is there already (a device, a pipe), or standard
output."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from regrow.core.errors import EnvironmentProblem
from regrow.core.files import atomic_write, check_writable

STANDARD = Path("-")  # standard input or output


@contextlib.contextmanager
def destination(out: Path, *, force: bool, sources: tuple[Path, ...]) -> Iterator[BinaryIO]:
    """A file to write bytes into. Raises EnvironmentProblem for a file that is there already, unless `force`, and for
    one of the command's own `sources` whatever is forced."""
    if out == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if out.exists() and not out.is_file() and not out.is_dir():  # a device or a pipe is written, not replaced
        with out.open("wb") as file:
            yield file
        return
    if any(
        source != STANDARD and source.exists() and out.exists() and out.samefile(source) for source in sources
    ):
        raise EnvironmentProblem(f"{out}: is what the command reads; choose another file with --out.")
    if out.is_file() and not force:
        raise EnvironmentProblem(
            f"{out}: is there already; give -f to replace it, or choose another file with --out."
        )
    check_writable(out)
    with atomic_write(out.resolve()) as file:  # a link stays a link
        yield file
