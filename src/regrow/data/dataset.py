"""A folder of tokens: what `regrow data` makes and everything that trains or evaluates reads."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from regrow.core.errors import DataError, readable
from regrow.core.files import sha256_hex
from regrow.data.documents import FORM_FEED_LINE
from regrow.data.tokenizer import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
DATA_JSON = "data.json"
VAL_TEXT = "val.txt"
FILES = (
    "tokenizer.bin",
    "train_tokens.npy",
    "train_docs.npy",
    "train_groups.npy",
    "val_tokens.npy",
    VAL_TEXT,
)

_AGAIN = "make the folder again with regrow data"
_MAPPED = "train_tokens.npy"  # stays on disk
_HASHED_BYTES = 1 << 30  # if it is larger than this, hashing takes longer than a second: its size must do


class FileEntry(msgspec.Struct, forbid_unknown_fields=True):
    """What data.json says of one file."""

    bytes: int
    sha256: str


class DataInfo(msgspec.Struct, omit_defaults=True):
    """data.json. Bytes are counted before tokenising; `train_tokens` include the BOS of each document."""

    schema: int
    name: str
    vocab_size: int
    train_bytes: int
    train_tokens: int
    train_documents: int
    train_groups: int
    val_bytes: int
    val_tokens: int
    val_sha256: str
    files: dict[str, FileEntry]
    val_documents: list[int] = []  # the sizes of the texts that val.txt joins by newlines, in bytes
    notes: list[str] = []  # what one should know: how val.txt came about, what of the source was left out


@dataclass(frozen=True)
class Dataset:
    """Tokens to train on and held-out text.

    `train_tokens`: uint16, every document's tokens after one BOS. `doc_offsets`: int64, where in
    `train_tokens` each document begins. `doc_groups`: int32, the group of each document; documents of one
    group (one year's addresses, say) are left out of the memory together. `val_tokens`: uint16, the tokens
    of `val_bytes`, no BOS. `train_bytes`: the size of the training text in bytes.
    """

    name: str
    tokenizer: Tokenizer
    train_tokens: NDArray[np.uint16]
    doc_offsets: NDArray[np.int64]
    doc_groups: NDArray[np.int32]
    val_tokens: NDArray[np.uint16]
    val_bytes: bytes = field(repr=False)
    train_bytes: int

    @property
    def vocab_size(self) -> int:
        """Number of token ids, BOS included."""
        return self.tokenizer.vocab_size

    @property
    def counts(self) -> dict[str, Any]:
        """The keys of `data` in result.json."""
        return {
            "name": self.name,
            "train_bytes": self.train_bytes,
            "train_tokens": len(self.train_tokens),
            "val_bytes": len(self.val_bytes),
            "val_tokens": len(self.val_tokens),
            "val_sha256": sha256_hex(self.val_bytes),
        }

    @classmethod
    def load(cls, folder: Path | str) -> Dataset:
        """The dataset of a folder that `build_dataset` made; `train_tokens` stay on disk until they are read.

        Raises DataError, naming the file, if anything is missing or is not what data.json says.
        """
        folder = Path(folder)
        info = _read_info(folder)
        contents = {name: _verified(folder, name, info) for name in FILES if name != _MAPPED}
        _verify_in_place(folder, _MAPPED, info)

        def small(name: str, dtype: Any) -> NDArray[Any]:
            return _array(folder / name, dtype, io.BytesIO(contents[name]))

        return cls(
            name=info.name,
            tokenizer=Tokenizer.from_bytes(contents["tokenizer.bin"], str(folder / "tokenizer.bin")),
            train_tokens=_array(folder / _MAPPED, np.uint16),
            doc_offsets=small("train_docs.npy", np.int64),
            doc_groups=small("train_groups.npy", np.int32),
            val_tokens=small("val_tokens.npy", np.uint16),
            val_bytes=contents[VAL_TEXT],
            train_bytes=info.train_bytes,
        )


def read_text_argument(path: Path | str) -> bytes:
    """The raw bytes that `--data DIR|FILE` means: a data folder's held-out text, or all of a file.

    Raises DataError if there is nothing to read.
    """
    path = Path(path)
    if path.is_dir():
        data = _verified(path, VAL_TEXT, _read_info(path))
    else:
        with readable(path, "give a file or a folder made by regrow data"):
            data = path.read_bytes()
    if not data:
        raise DataError(f"{path}: is empty; give a file or a folder with some text.")
    return data


def document_starts(path: Path | str, raw: bytes) -> list[int]:
    """Where in `raw`, which `read_text_argument` read from `path`, documents begin; the first is 0.

    Those of a data folder are the texts it holds out; where that is one, or `path` is a file, they end at lines of a
    form feed alone.
    """
    sizes = _read_info(Path(path)).val_documents if Path(path).is_dir() else []
    starts = list(accumulate((size + 1 for size in sizes), initial=0))
    if len(sizes) > 1 and starts.pop() == len(raw) + 1:
        return starts
    return [0, *(end for end in (m.end() for m in FORM_FEED_LINE.finditer(raw)) if end < len(raw))]


def _read_info(folder: Path) -> DataInfo:
    path = folder / DATA_JSON
    try:
        info = msgspec.json.decode(path.read_bytes(), type=DataInfo)
    except OSError as error:
        raise DataError(
            f"{folder}: no folder of tokens (no {DATA_JSON} in it); make one with regrow data."
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}); {_AGAIN}.") from error
    if info.schema != SCHEMA:
        raise DataError(f"{path}: schema {info.schema}, not {SCHEMA}; {_AGAIN}.")
    missing = [name for name in FILES if name not in info.files]
    if missing:
        raise DataError(f"{path}: says nothing of {missing[0]}; {_AGAIN}.")
    return info


def _verified(folder: Path, name: str, info: DataInfo) -> bytes:
    """The bytes of a file, checked against data.json."""
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise DataError(f"{folder / name}: missing or unreadable; {_AGAIN}.") from error
    if len(data) != info.files[name].bytes or sha256_hex(data) != info.files[name].sha256:
        raise DataError(f"{folder / name}: damaged, not what {DATA_JSON} says of it; {_AGAIN}.")
    return data


def _verify_in_place(folder: Path, name: str, info: DataInfo) -> None:
    """The same check without holding the file in memory."""
    path, entry = folder / name, info.files[name]
    try:
        sound = path.stat().st_size == entry.bytes
        if sound and entry.bytes <= _HASHED_BYTES:
            with path.open("rb") as file:
                sound = hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    except OSError as error:
        raise DataError(f"{path}: missing or unreadable; {_AGAIN}.") from error
    if not sound:
        raise DataError(f"{path}: damaged, not what {DATA_JSON} says of it; {_AGAIN}.")


def _array(path: Path, dtype: Any, file: io.BytesIO | None = None) -> NDArray[Any]:
    """A one-dimensional array, out of `file` if its bytes are at hand, else mapped from `path`."""
    try:
        mode: Literal["r"] | None = "r" if file is None else None
        array = np.load(path if file is None else file, mmap_mode=mode, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a numpy array ({error}); {_AGAIN}.") from error
    if array.dtype != dtype or array.ndim != 1:
        raise DataError(f"{path}: holds {array.dtype}, not {np.dtype(dtype)}; {_AGAIN}.")
    return array  # type: ignore[no-any-return]
