"""Writing files: a reader sees the old file or the whole new one, nothing is replaced unasked, and what is no file of
its own (a device, a FIFO, an open descriptor, a link) is written through.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from regrow.core.errors import EnvironmentProblem, reason


@contextlib.contextmanager
def atomic_write(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file for binary writing; it takes the place of `path` when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed and `path` stays as it was. Missing
    parent folders are made. The temporary file lies beside `path` because a rename is atomic only within one
    file system. An OSError (no space left, no permission) becomes an EnvironmentProblem that names `path`.

    A link stays, the file it names is replaced. A device, a FIFO and a descriptor (/dev/stdout) are written as they
    are, with no going back; a reader of them that leaves is a BrokenPipeError. A new file has the permissions `mode`,
    by default those of every new file.
    """
    path = Path(path)
    temporary: Path | None = None
    foreign: OSError | None = None
    try:
        if is_special(path):
            with _open_special(path) as file:
                yield file
            return
        path = _followed(path)
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
        usual = 0o666 & ~_umask() if mode is None else mode & 0o777
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else usual)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        if error is foreign or isinstance(error, BrokenPipeError):
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
        if not folder and is_special(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        path = _followed(path)
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


def check_output(path: Path, *, force: bool = False, sources: Iterable[Path] = ()) -> None:
    """The rule for every file that a command is told to write, kept before it works: see `check_writable`, and

    - never a file that the command reads (`sources`), by whatever name or link;
    - a file that is there already only with `force`, or with a yes from the terminal.

    What is written through (see `atomic_write`) has nothing to lose. Raises EnvironmentProblem.
    """
    path = Path(path)
    check_writable(path)
    if is_special(path) or not path.is_file():
        return
    for source in sources:
        if same_file(path, source):
            raise EnvironmentProblem(f"{path}: is what the command reads; choose another file with --out.")
    confirm_replacing(path, "is there already", force=force)


def confirm_replacing(path: Path, what: str, *, force: bool = False) -> None:
    """Raise EnvironmentProblem unless `path` may be replaced: with `force`, or with a yes from the terminal, which is
    told `what` would be lost."""
    if not force and not _agreed(path, what):
        kind = "folder" if path.is_dir() else "file"
        raise EnvironmentProblem(
            f"{path}: {what}; give -f to replace it, or choose another {kind} with --out."
        )


def same_file(one: Path | int, other: Path | int) -> bool:
    """Whether two paths or descriptors are one regular file, through links of any kind."""
    try:
        first, second = os.stat(one), os.stat(other)  # noqa: PTH116 - of descriptors too
    except OSError:
        return False
    return stat.S_ISREG(first.st_mode) and os.path.samestat(first, second)


def is_special(path: Path) -> bool:
    """Whether writing goes through `path` instead of replacing it: a device, a FIFO, a socket, a descriptor."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _descriptor(path) is not None


def is_fifo(path: Path) -> bool:
    """Whether it is a named pipe, which a reader waits for; one that a shell opened (`<(...)`) is none."""
    return path.is_fifo() and _descriptor(path) is None


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


def _open_special(path: Path) -> BinaryIO:
    number = _descriptor(path)
    # A descriptor is taken over: opened by its path, a file behind it would be cut and begun anew.
    return path.open("wb") if number is None else os.fdopen(os.dup(number), "wb")


def _descriptor(path: Path) -> int | None:
    """The number of this process's descriptor that a path such as /dev/stdout names."""
    for _ in range(40):  # links, as many as a system follows
        folder = os.path.realpath(path.parent)
        if path.name.isdigit() and folder in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(folder, path.readlink())
    return None


def _followed(path: Path) -> Path:
    """The file that a link names, or is to name; any other path as it is."""
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _agreed(path: Path, what: str) -> bool:
    """Whether somebody at a terminal, if there is one, says that `path` may be replaced."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{path}: {what}; replace it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


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
