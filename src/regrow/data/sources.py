"""What `regrow data SOURCE` accepts: a corpus by name, a file, or a folder of files."""

from __future__ import annotations

import os
from pathlib import Path

from regrow.data.documents import Corpus, hold_out, in_groups
from regrow.data.readers import read_documents, read_text
from regrow.data.sotu import NAMES, read_sotu
from regrow.errors import DataError

_LATER_NAMES = ("fineweb",)
_LATER_SUFFIX = ".bin"
_LIKE_TEXT = (".jsonl", ".ndjson", ".parquet")


def read_source(source: str, val_fraction: float) -> Corpus:
    """The documents and the held-out text of `source`.

    `sotu` and `sotu:dev` are the packaged corpus (write `./sotu` for a folder of that name). A folder is
    read with all its sub-folders, files in order of their paths, hidden ones left out. A folder that holds
    one file named `train` and one named `val` (`train.txt` and `val.txt`, say) says itself what is held out:
    only these two are read, and `val_fraction` does not matter. Anything else has about `val_fraction` of its
    documents held out, see `hold_out`. Raises DataError naming what cannot be read.
    """
    if source in NAMES:
        return read_sotu(source)
    path = Path(source)
    if source in _LATER_NAMES or path.suffix == _LATER_SUFFIX:
        raise DataError(
            f"{source}: such a source comes with a later release of regrow; give it text for now."
        )
    if not os.path.lexists(path):
        raise DataError(
            f"{source}: no such file or folder; give a text, JSONL or Parquet file, a folder, or sotu."
        )
    name = path.resolve().name
    files = _files(path) if path.is_dir() else [path]
    pair = _train_and_val([file for file in files if file.parent == path])
    if pair:
        train, validation = read_documents(pair[0]), _held_out_text(pair[1])
        if not validation:
            raise DataError(f"{pair[1]}: is empty; put held-out text into it, or take it away.")
        return Corpus(name, in_groups(_some(train, pair[0])), validation)
    texts = _some([text for file in files for text in read_documents(file)], path)
    kept, validation = hold_out(texts, val_fraction, source)
    return Corpus(name, in_groups(kept), validation)


def _files(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    files = sorted(
        (file for file in found if file.is_file()), key=lambda file: file.relative_to(folder).parts
    )
    if folder / "data.json" in files and folder / "train_tokens.npy" in files:
        raise DataError(f"{folder}: is a data folder already; give it to regrow train --data.")
    shards = [file for file in files if file.suffix == _LATER_SUFFIX]
    if shards:
        raise DataError(
            f"{shards[0]}: reading .bin shards comes with a later release of regrow; give it text."
        )
    return files


def _refuse(error: OSError) -> None:
    reason = (error.strerror or str(error)).lower()
    raise DataError(f"{error.filename}: cannot be read ({reason}); give it a folder that can.") from error


def _train_and_val(files: list[Path]) -> tuple[Path, Path] | None:
    by_stem = {stem: [file for file in files if file.stem == stem] for stem in ("train", "val")}
    if len(by_stem["train"]) == len(by_stem["val"]) == 1:
        return by_stem["train"][0], by_stem["val"][0]
    return None


def _held_out_text(path: Path) -> bytes:
    """A text file's bytes as they are, form feeds included; other documents are joined by one newline."""
    return b"\n".join(read_documents(path)) if path.suffix.lower() in _LIKE_TEXT else read_text(path)


def _some(texts: list[bytes], path: Path) -> list[bytes]:
    if not texts:
        raise DataError(f"{path}: {'holds no text' if path.is_dir() else 'is empty'}; give it some.")
    return texts
