"""A folder that appears as a whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from regrow.core.errors import EnvironmentProblem, reason


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """The kernel's lock on a folder while the block lasts, however the process ends; nothing where there are no locks
    (Windows, some file systems). Raises BlockingIOError if another process holds it, OSError if it cannot be read."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, which takes its place when the block ends well; what was there is then gone.

    On any exception, Ctrl-C included, it is removed, and `path` is as it was. What a killed process left there is
    removed at the next call, which gives `path` back where it was about to be replaced. Raises EnvironmentProblem
    where no folder can be made.
    """
    place = path.resolve()
    prefix = os.fsdecode(os.fsencode(f".{place.name}")[:200]) + ".regrow-"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for left in place.parent.glob(glob.escape(prefix) + "*"):
            with contextlib.suppress(OSError), folder_lock(left):  # another process may be at work in it
                if (left / "old").exists() and not os.path.lexists(place):
                    (left / "old").rename(place)
                shutil.rmtree(left, ignore_errors=True)
        making = Path(tempfile.mkdtemp(prefix=prefix, dir=place.parent))
    except OSError as error:
        raise EnvironmentProblem(
            f"{path}: cannot be written ({reason(error)}); choose another place."
        ) from error
    try:
        with folder_lock(making):
            fresh, old = making / "new", making / "old"
            fresh.mkdir()  # with the mode that any new folder has, which mkdtemp's is not
            yield fresh
            if os.path.lexists(place):
                place.rename(old)
            try:
                fresh.rename(place)
            except BaseException:
                if old.exists():
                    old.rename(place)
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
