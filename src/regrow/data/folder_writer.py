"""Writing a data folder as its tokens come: in a folder beside the place, which it takes at the end.

Arrays grow on disk, so memory does not grow with them. While a long one is written, a note of how far it is lets the
same command go on after it was ended; the note counts only for the same source and settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import DataError, EnvironmentProblem, reason
from regrow.core.files import utf8
from regrow.core.folders import folder_lock
from regrow.core.processes import Terminated
from regrow.data.dataset import DATA_JSON, FILES, DataInfo, FileEntry

STATE = "state.json"
_HEADER = 128  # bytes; numpy leaves room in it for any number of entries
NOTE_BYTES = 1 << 28  # text between two notes: some tens of seconds on one core


class Note(msgspec.Struct):
    """How far a folder is. `key` identifies source and settings; `raw_bytes` of text are in."""

    key: str
    documents: int = 0
    raw_bytes: int = 0
    lengths: dict[str, int] = {}


class GrowingArray:
    """A one-dimensional .npy file that is appended to; the same bytes as `numpy.save` gives for the whole."""

    def __init__(self, path: Path, dtype: type[np.generic], kept: int = 0) -> None:
        self._dtype = np.dtype(dtype)
        self._file = path.open("r+b" if kept else "wb")
        size = _HEADER + kept * self._dtype.itemsize
        if kept and path.stat().st_size < size:  # made longer it would hold zeros
            raise DataError(
                f"{path}: was cut short since it was written; what was kept is removed, give the command again."
            )
        self._file.truncate(size)
        self._file.seek(0, os.SEEK_END)
        self.length = kept

    def append(self, values: NDArray[Any]) -> None:
        """Add values at the end."""
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self.length += len(values)

    def flush(self) -> None:
        """Everything appended so far is on the disk when this returns."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the header and end the file."""
        header = io.BytesIO()
        facts = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(header, facts)
        assert len(header.getvalue()) == _HEADER, "a header of numpy's usual length"
        self._file.seek(0)
        self._file.write(header.getvalue())
        self.flush()
        self._file.close()


class FolderWriter:
    """The folder `out` in the making: arrays by name, files by name, and `finish`.

    As a context manager it removes what it made unless `finish` was reached, or unless it was interrupted after
    a note was taken. Raises DataError when another process is making the same folder, EnvironmentProblem for a
    full disk and the like.
    """

    def __init__(self, out: Path, key: str) -> None:
        self._out, self._place = out, out.resolve()
        self._fresh = self._place.parent / f".{self._place.name}.making"
        self._old = self._place.parent / f".{self._place.name}.old"
        self.note = Note(key)
        self._arrays: dict[str, GrowingArray] = {}
        self._noted = 0
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> FolderWriter:
        with self.explained():
            self._fresh.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.enter_context(folder_lock(self._fresh))
            except BlockingIOError as error:
                raise DataError(
                    f"{self._out}: another process is making this folder; wait for it or choose another with --out."
                ) from error
            found = self._found()
            if found is None:
                for entry in self._fresh.iterdir():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            else:
                self.note = found
                self._noted = found.raw_bytes
            self._restore()  # where a killed process had moved it and had put nothing in its place
            shutil.rmtree(self._old, ignore_errors=True)
        return self

    def _restore(self) -> None:
        if self._old.exists() and not self._place.exists():
            self._old.rename(self._place)

    def _found(self) -> Note | None:
        """The note of an earlier start of the same work, if everything it lists is there."""
        try:
            note = msgspec.json.decode((self._fresh / STATE).read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError):
            return None
        return note if note.key == self.note.key else None

    @property
    def resumed(self) -> bool:
        """Whether earlier work is gone on with."""
        return self.note.documents > 0

    def kept(self, name: str) -> bytes | None:
        """A file of the earlier start, or None."""
        return (self._fresh / name).read_bytes() if self.resumed else None

    def array(self, name: str, dtype: type[np.generic]) -> GrowingArray:
        """The growing array `name`."""
        with self.explained():
            array = GrowingArray(self._fresh / name, dtype, self.note.lengths.get(name, 0))
        self._arrays[name] = array
        return array

    def path(self, name: str) -> Path:
        """Where the file `name` is while the folder is made."""
        return self._fresh / name

    def write(self, name: str, data: bytes) -> None:
        """A whole file."""
        with self.explained(), (self._fresh / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def advance(self, documents: int, raw_bytes: int) -> None:
        """So much more is in the arrays; takes a note now and then. `documents`: whole ones alone, at a document's
        end."""
        self.note.documents += documents
        self.note.raw_bytes += raw_bytes
        if self.note.raw_bytes - self._noted >= NOTE_BYTES:
            self.take_note()

    def take_note(self) -> None:
        """Put on disk how far this is."""
        with self.explained():
            for array in self._arrays.values():
                array.flush()
            self.note.lengths = {name: array.length for name, array in self._arrays.items()}
            self.write(f"{STATE}.new", msgspec.json.encode(self.note))
            (self._fresh / f"{STATE}.new").replace(self._fresh / STATE)
            self._noted = self.note.raw_bytes

    def close_arrays(self) -> None:
        """End all arrays."""
        with self.explained():
            for array in self._arrays.values():
                array.close()

    def finish(self, info: DataInfo) -> None:
        """Write data.json with the size and hash of every file, and put the folder in place of the old one."""
        info.name, info.notes = utf8(info.name), [utf8(note) for note in info.notes]  # they name files
        with self.explained():
            info.files = {name: _entry(self._fresh / name) for name in FILES}
            self.write(DATA_JSON, msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n")
            for extra in (STATE, f"{STATE}.new"):
                (self._fresh / extra).unlink(missing_ok=True)
            try:
                if self._place.exists():
                    self._place.rename(self._old)
                self._fresh.rename(self._place)
            finally:
                self._restore()
            shutil.rmtree(self._old, ignore_errors=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        keep = isinstance(error, KeyboardInterrupt | Terminated) and (self._fresh / STATE).exists()
        if not keep:
            shutil.rmtree(self._fresh, ignore_errors=True)
        self._lock.close()
        if keep:
            sentence = f"what is done is kept beside {self._out}, the same command goes on from there"
            if isinstance(error, Terminated):
                raise Terminated(error.number, f"{error}; {sentence}") from error
            raise KeyboardInterrupt(f"interrupted; {sentence}") from error

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Inside, an OSError becomes an EnvironmentProblem that names the folder."""
        try:
            yield
        except OSError as error:
            raise EnvironmentProblem(
                f"{self._out}: cannot be written ({reason(error)}); free some space or "
                "choose another place with --out."
            ) from error


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path.stat().st_size, digest)
