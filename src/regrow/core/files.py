"""Writing files so that a reader sees the old file or the whole new one, never half of one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from regrow.core.errors import EnvironmentProblem, reason


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file for binary writing; it takes the place of `path` when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed and `path` stays as it was. Missing
    parent folders are made. The temporary file lies beside `path` because a rename is atomic only within one
    file system. An OSError (no space left, no permission) becomes an EnvironmentProblem that names `path`.
    """
    path = Path(path)
    temporary: Path | None = None
    foreign: OSError | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_temporary_prefix(path), suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            try:
                yield file
            except OSError as error:
                # A failed write carries no file name; an error with one is about a file the block had open.
                foreign = error if error.filename is not None else None
                raise
            file.flush()
            # Without this a crash soon after the rename may leave an empty file under the new name.
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; give the mode that open() would have given.
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        if error is foreign:
            raise
        raise _unwritable(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Raise EnvironmentProblem now if a file (or the files of a `folder`) could not be written at `path` later.

    For commands to call before hours of work. Nothing is left behind, no missing parent is made.
    """
    path = Path(path)
    try:
        if path.exists() and path.is_dir() != folder:
            is_, wanted = ("file", "folder") if folder else ("folder", "file")
            raise EnvironmentProblem(f"{path}: is a {is_}; choose a {wanted} with --out.")
        place = path if folder else path.parent
        missing = [path.name]
        while not os.path.lexists(place):
            missing.append(place.name)
            place = place.parent
        longest = os.pathconf(place, "PC_NAME_MAX")
        if any(len(os.fsencode(name)) > longest for name in missing):
            raise OSError(f"its name is longer than {longest} bytes")
        # Really writing finds what permissions do not tell: read-only and full disks.
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def atomic_write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Replace `path` by `data` in one step; see `atomic_write`."""
    with atomic_write(path) as file:
        file.write(data)


def atomic_write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8, line ends as given; see `atomic_write`."""
    atomic_write_bytes(path, text.encode("utf-8"))


def remove_leftovers(folder: Path, *names: str) -> None:
    """Remove the temporary files that a killed process left in `folder` while it wrote `names` (patterns allowed)."""
    for name in names:
        for path in folder.glob(f".{name}.*.tmp"):
            with contextlib.suppress(OSError):
                path.unlink()


def utf8(text: str) -> str:
    """`text` with U+FFFD for bytes that are not UTF-8, which file names and arguments may hold."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def sha256_hex(data: bytes | memoryview) -> str:
    """SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _unwritable(path: Path, error: OSError) -> EnvironmentProblem:
    room = "free some space or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return EnvironmentProblem(
        f"{path}: cannot be written ({reason(error)}); {room}choose another place with "
        "--out, nothing was changed."
    )


def _temporary_prefix(path: Path) -> str:
    # The longest name a file may have leaves no room for what mkstemp adds.
    return os.fsdecode(os.fsencode(f".{path.name}")[:200]) + "."


def _umask() -> int:
    # The process's mask can only be read by setting it; /proc answers without touching it.
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    return 0o022
