"""Writing files so that a reader sees the old file or the whole new one, never half of one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from regrow.core.errors import EnvironmentProblem


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
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
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
        raise EnvironmentProblem(
            f"{path}: cannot be written ({(error.strerror or str(error)).lower()}); "
            "free some space or choose another place with --out, nothing was changed."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


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


def sha256_hex(data: bytes | memoryview) -> str:
    """SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _umask() -> int:
    # The process's mask can only be read by setting it; /proc answers without touching it.
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    return 0o022
