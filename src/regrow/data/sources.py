"""What `regrow data SOURCE` accepts: a corpus by name, a file, or a folder of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from regrow.core.errors import DataError
from regrow.core.files import utf8
from regrow.data.compressed import plain_name
from regrow.data.documents import Corpus, Text, Texts, hold_out
from regrow.data.readers import ReadAs, read_documents, read_text
from regrow.data.sotu import NAMES, read_sotu
from regrow.data.source_files import SourceFiles

_SHARD_SUFFIX = ".bin"
_AS_NAMED = ReadAs()
_MAX_LISTED = 20  # files named one by one before the rest is counted


def read_source(
    source: str | Sequence[str],
    val_fraction: float,
    tell: Callable[[int], None] = lambda size: None,
    read_as: ReadAs = _AS_NAMED,
) -> Corpus:
    """The documents and the held-out text of `source`, or of several; everything is read once, and `tell` is told how
    much.

    `sotu` and `sotu:dev` are the packaged corpus (write `./sotu` for a folder of that name). A folder is
    read with all its sub-folders (see `SourceFiles`), files in order of their paths. A folder that holds
    one file named `train` and one named `val` (`train.txt` and `val.txt`, say) says itself what is held out:
    only these two are read, and `val_fraction` does not matter. Anything else has about `val_fraction` of its
    documents held out, see `hold_out`. `Corpus.files` and `.left_out` say what was read and what was not. Raises
    DataError naming what cannot be read.
    """
    sources = [source] if isinstance(source, str) else list(source)
    if sources[0] in NAMES and len(sources) == 1:
        return read_sotu(sources[0])
    paths = [_readable(text) for text in sources]
    source, name = sources[0], source_name(sources)
    found = SourceFiles.of(paths)
    _check(found, paths)
    pair = _train_and_val(found) if len(paths) == 1 and paths[0].is_dir() else None
    kinds = {read_as.kind_of(file) for file in found.files}  # refused before any work
    if read_as.field != _AS_NAMED.field and kinds and kinds <= {"text", "lines"}:
        raise DataError(
            f"--text-field {read_as.field}: nothing here is JSON lines or Parquet, which have fields; leave it out, or "
            "give --as jsonl."
        )
    reading = _Reading(found, read_as)
    if pair:
        train = _some(Texts.survey(lambda: reading.documents(pair[0]), source, tell), pair[0])
        held_out = Texts.survey(lambda: reading.held_out(pair[1]), source, tell)
        if not held_out.total_bytes:
            raise DataError(f"{pair[1]}: is empty; put held-out text into it, or take it away.")
        return reading.told(Corpus.of(name, train, held_out))
    texts = Texts.survey(
        lambda: (text for file in found.files for text in reading.documents(file)), source, tell
    )
    train, held_out = hold_out(_some(texts, paths[0]), val_fraction, source)
    return replace(reading.told(Corpus.of(name, train, held_out)), split=_split(train, held_out, len(texts)))


def source_name(sources: Sequence[str]) -> str:
    """What a data folder is called after: the first source's own name, and how many more there are."""
    if len(sources) == 1 and sources[0] in NAMES:
        return sources[0]
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return utf8(Path(sources[0]).resolve().name) + more


def _readable(source: str) -> Path:
    path = Path(source)
    if not os.path.lexists(path):
        raise DataError(
            f"{source}: no such file or folder; give a text, JSONL or Parquet file, a folder, or sotu."
        )
    if path.exists() and not path.is_dir() and not path.is_file():
        raise DataError(
            f"{source}: is a pipe or a device, which cannot be read twice; write it to a file first."
        )
    return path


def _split(train: Texts, held_out: Texts, documents: int) -> str:
    """What was held out, for the user."""
    size = held_out.total_bytes
    share = f"{size:,} bytes, {100 * size / (size + train.total_bytes):.1f} % of the text"
    if len(train) + len(held_out) < documents:
        return (
            f"all {documents:,} documents are the same text, which is read once; held out: its end ({share})"
        )
    if documents == 1:
        return f"held out: the end of the text ({share})"
    cut = len(train) + len(held_out) > documents
    whole = f"{len(held_out) - cut:,} of {documents:,} documents" if len(held_out) > cut else ""
    end = "the end of one of the documents" if not whole else " and the end of another" if cut else ""
    return f"held out: {whole}{end} ({share})"


def source_bytes(sources: Sequence[str]) -> int:
    """The size of all files of these sources. Raises DataError for one that cannot be read."""
    return sum(file.stat().st_size for file in SourceFiles.of([_readable(text) for text in sources]).files)


class _Reading:
    """Files being read, and of each how many of its rows hold no text."""

    def __init__(self, found: SourceFiles, read_as: ReadAs) -> None:
        self._found, self._read_as = found, read_as
        self._empty: dict[Path, int] = {}

    def documents(self, path: Path) -> Iterator[Text]:
        """The documents of a file."""
        return read_documents(path, self._read_as, lambda rows: self._empty.update({path: rows}))

    def held_out(self, path: Path) -> Iterator[Text]:
        """A text file's bytes as they are, form feeds included; other kinds document by document."""
        if self._read_as.kind_of(path) != "text":
            return self.documents(path)
        return iter([read_text(path, insist=self._read_as.kind is not None)])

    def told(self, corpus: Corpus) -> Corpus:
        """The corpus with what was read and what was left out."""
        found = self._found
        files = [f"{found.name(path)}: {path.stat().st_size:,} bytes" for path in found.files]
        left_out = [
            f"{found.name(path)}: {rows:,} rows left out (no text, or null, in the field {self._read_as.field})"
            for path, rows in self._empty.items()
            if rows
        ]
        return replace(corpus, files=listed(files), left_out=listed([*found.left_out, *left_out]))


def listed(lines: list[str]) -> tuple[str, ...]:
    """The first lines, fit to be stored, and how many more there are."""
    shown = [utf8(line) for line in lines[:_MAX_LISTED]]
    return (*shown, *([f"... and {len(lines) - _MAX_LISTED:,} more"] if len(lines) > _MAX_LISTED else []))


def _check(found: SourceFiles, sources: Sequence[Path]) -> None:
    files = found.files
    for folder in sources:
        if folder / "data.json" in files and folder / "train_tokens.npy" in files:
            raise DataError(f"{folder}: is a data folder already; give it to regrow train --data.")
    shards = [file for file in files if file.suffix == _SHARD_SUFFIX and file not in sources]
    if shards:
        raise DataError(
            f"{shards[0]}: is a shard among other files; give regrow data the folder that holds the shards, "
            "fineweb_train_*.bin and fineweb_val_*.bin."
        )


def _train_and_val(found: SourceFiles) -> tuple[Path, Path] | None:
    """The two files that say what is held out, where there are two; everything else is then left out."""
    by_stem = {
        stem: [f for f in found.files if f.parent == found.root and plain_name(f).stem == stem]
        for stem in ("train", "val")
    }
    if not len(by_stem["train"]) == len(by_stem["val"]) == 1:
        return None
    train, val = by_stem["train"][0], by_stem["val"][0]
    for file in found.files:
        if file not in (train, val):
            found.leave_out(file, f"only {train.name} and {val.name} are read")
    found.files = [train, val]
    return train, val


def _some(texts: Texts, path: Path) -> Texts:
    if not len(texts):
        raise DataError(f"{path}: {'holds no text' if path.is_dir() else 'is empty'}; give it some.")
    return texts
