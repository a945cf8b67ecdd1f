"""Making a folder of tokens from a source of text."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from regrow.config import DataConfig
from regrow.data.dataset import DATA_JSON, FILES, SCHEMA, VAL_TEXT, DataInfo, Dataset, FileEntry
from regrow.data.documents import Corpus
from regrow.data.sources import read_source
from regrow.errors import DataError, EnvironmentProblem
from regrow.files import sha256_hex
from regrow.progress import Progress, Silent
from regrow.tokenizer import Tokenizer


def build_dataset(
    source: str, out: Path | str, config: DataConfig | None = None, progress: Progress | None = None
) -> Dataset:
    """Read `source` (see `read_source`), train a tokenizer on its training part, and write the folder `out`.

    The same source and config give the same bytes. The folder appears as a whole or not at all: it is
    written beside `out` and renamed. A data folder that is there is replaced; anything else in the way is a
    DataError. Full disks and the like are an EnvironmentProblem.
    """
    config = config or DataConfig()
    progress = progress or Silent()
    out = Path(out)
    _check_out(out, source)
    with progress.task(f"reading {source}"):
        corpus = read_source(source, config.val_fraction)
    with progress.task("making the vocabulary"):
        tokenizer = Tokenizer.train((document.text for document in corpus.train), config.vocab_size)
    _write(out, _contents(corpus, tokenizer, progress))
    return Dataset.load(out)


def _contents(corpus: Corpus, tokenizer: Tokenizer, progress: Progress) -> dict[str, bytes]:
    bos = np.array([tokenizer.bos_id], np.uint16)
    parts: list[np.ndarray[Any, np.dtype[np.uint16]]] = []
    offsets, size = [], 0
    train_bytes = sum(len(document.text) for document in corpus.train)
    with progress.task("tokenising", train_bytes + len(corpus.validation), "B") as task:
        for document in corpus.train:
            tokens = tokenizer.encode(document.text)
            offsets.append(size)
            size += 1 + len(tokens)
            parts += [bos, tokens]
            task.advance(len(document.text))
        val_tokens = tokenizer.encode(corpus.validation)
        task.advance(len(corpus.validation))
    groups = np.array([document.group for document in corpus.train], np.int32)
    contents = {
        "tokenizer.bin": tokenizer.to_bytes(),
        "train_tokens.npy": _npy(np.concatenate(parts)),
        "train_docs.npy": _npy(np.array(offsets, np.int64)),
        "train_groups.npy": _npy(groups),
        "val_tokens.npy": _npy(val_tokens),
        VAL_TEXT: corpus.validation,
    }
    info = DataInfo(
        schema=SCHEMA,
        name=corpus.name,
        vocab_size=tokenizer.vocab_size,
        train_bytes=train_bytes,
        train_tokens=size,
        train_documents=len(corpus.train),
        train_groups=len(np.unique(groups)),
        val_bytes=len(corpus.validation),
        val_tokens=len(val_tokens),
        val_sha256=sha256_hex(corpus.validation),
        files={name: FileEntry(len(data), sha256_hex(data)) for name, data in contents.items()},
    )
    contents[DATA_JSON] = msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n"
    return contents


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _check_out(out: Path, source: str) -> None:
    """Refuse early what could not be written, or would lose something."""
    place = Path(source)
    if place.is_dir() and out.resolve().is_relative_to(place.resolve()):
        raise DataError(f"{out}: lies within the source {source}; choose a folder elsewhere with --out.")
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: is a file; choose a folder with --out.")
    strange = sorted({entry.name for entry in out.iterdir()} - {*FILES, DATA_JSON})
    if strange:
        raise DataError(
            f"{out}: holds {strange[0]}, which is not of a data folder; choose another with --out."
        )


def _write(out: Path, contents: dict[str, bytes]) -> None:
    beside = out.resolve().parent
    fresh, old = (beside / f".{out.resolve().name}.{os.getpid()}.{kind}" for kind in ("new", "old"))
    try:
        beside.mkdir(parents=True, exist_ok=True)
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir()
        for name, data in contents.items():
            with (fresh / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if out.exists():
            out.resolve().rename(old)
        fresh.rename(out.resolve())
    except OSError as error:
        raise EnvironmentProblem(
            f"{out}: cannot be written ({(error.strerror or str(error)).lower()}); free some space or choose "
            "another place with --out."
        ) from error
    finally:
        if old.exists() and not out.exists():
            old.rename(out.resolve())
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
