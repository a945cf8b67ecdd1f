"""What `regrow data SOURCE` accepts: a corpus by name, a file, or a folder of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from regrow.core.errors import DataError
from regrow.data.documents import Corpus, Text, Texts, hold_out
from regrow.data.readers import read_documents, read_text
from regrow.data.sotu import NAMES, read_sotu

_SHARD_SUFFIX = ".bin"
_LIKE_TEXT = (".jsonl", ".ndjson", ".parquet")


def read_source(source: str, val_fraction: float, tell: Callable[[int], None] = lambda size: None) -> Corpus:
    """The documents and the held-out text of `source`; everything is read once, and `tell` is told how much.

    `sotu` and `sotu:dev` are the packaged corpus (write `./sotu` for a folder of that name). A folder is
    read with all its sub-folders, files in order of their paths, hidden ones left out. A folder that holds
    one file named `train` and one named `val` (`train.txt` and `val.txt`, say) says itself what is held out:
    only these two are read, and `val_fraction` does not matter. Anything else has about `val_fraction` of its
    documents held out, see `hold_out`. Raises DataError naming what cannot be read.
    """
    if source in NAMES:
        return read_sotu(source)
    path = Path(source)
    if not os.path.lexists(path):
        raise DataError(
            f"{source}: no such file or folder; give a text, JSONL or Parquet file, a folder, or sotu."
        )
    name = path.resolve().name
    files = _files(path) if path.is_dir() else [path]
    pair = _train_and_val([file for file in files if file.parent == path])
    if pair:
        train_file, val_file = pair
        train = _some(Texts.survey(lambda: read_documents(train_file), source, tell), train_file)
        held_out = Texts.survey(lambda: _held_out_text(val_file), source, tell)
        if not held_out.total_bytes:
            raise DataError(f"{val_file}: is empty; put held-out text into it, or take it away.")
        return Corpus.of(name, train, held_out)
    texts = Texts.survey(lambda: (text for file in files for text in read_documents(file)), source, tell)
    return Corpus.of(name, *hold_out(_some(texts, path), val_fraction, source))


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
    shards = [file for file in files if file.suffix == _SHARD_SUFFIX]
    if shards:
        raise DataError(
            f"{shards[0]}: is a shard among other files; give regrow data the folder that holds the shards, "
            "fineweb_train_*.bin and fineweb_val_*.bin."
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


def _held_out_text(path: Path) -> Iterator[Text]:
    """A text file's bytes as they are, form feeds included; other kinds document by document."""
    return read_documents(path) if path.suffix.lower() in _LIKE_TEXT else iter([read_text(path)])


def _some(texts: Texts, path: Path) -> Texts:
    if not len(texts):
        raise DataError(f"{path}: {'holds no text' if path.is_dir() else 'is empty'}; give it some.")
    return texts
