"""The texts a bench runs on: the packaged corpus's tuning split, never its held-out years, or a user's own."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regrow.core.config.schema import DataConfig
from regrow.core.errors import ConfigError, DataError
from regrow.core.progress import Progress
from regrow.data.build import build_dataset
from regrow.data.compressed import plain_name
from regrow.data.dataset import Dataset
from regrow.data.documents import FORM_FEED_LINE
from regrow.data.readers import ReadAs, read_documents, read_text

OWN_TEXT = "sotu:dev"
_PIECE = 2048  # tokens of one piece of held-out text: long against any context that a bench's network has


@dataclass(frozen=True)
class HeldOut:
    """A held-out text: its name, what to train on beside it, and its documents.

    `data` holds the text itself. `documents`: rows of a JSONL or Parquet file; of other text the parts between lines of
    a form feed, or, where there is no such line, between blank lines.
    """

    name: str
    data: Dataset
    documents: list[bytes]

    def share(self, max_tokens: int) -> HeldOut:
        """The text as `share_of_validation` leaves it."""
        data = share_of_validation(self.data, max_tokens)
        return self if data is self.data else HeldOut(self.name, data, _parts(data.val_bytes))


@contextlib.contextmanager
def bench_data(
    train: Path | None, val: Path | None, vocab_size: int, progress: Progress
) -> Iterator[Dataset]:
    """A dataset of `train` and `val`, of `train` alone (a part of it held out), or of the bench's own text.

    Its folder of tokens is temporary. Raises ConfigError for a `val` alone, DataError for unusable text.
    """
    with bench_texts([train] if train else [], [val] if val else [], vocab_size, progress) as texts:
        yield texts[0].data


@contextlib.contextmanager
def bench_texts(
    train: Sequence[Path], val: Sequence[Path], vocab_size: int, progress: Progress
) -> Iterator[list[HeldOut]]:
    """The same of several files: every `val` beside all of `train`, in the order given.

    Raises ConfigError for a `val` without a `train`, or for files of one name in folders of one name, DataError for
    unusable text.
    """
    check_pair(next(iter(train), None), next(iter(val), None))
    config = DataConfig(vocab_size=vocab_size)
    name = ", ".join(_names("train", train)) or OWN_TEXT
    names = _names("val", val) or [name]
    with tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch:
        sources = [str(path) for path in train] or [OWN_TEXT]
        if val:
            for stem, paths in (("train", train), ("val", val)):
                for path in paths:
                    if not path.is_file():
                        raise DataError(f"{path}: no such file; give --{stem} a file of text.")
            sources = [str(_pair(train, val[0], Path(scratch, "texts")))]
        read = [_read(path) for path in val]
        data = dataclasses.replace(build_dataset(sources, Path(scratch, "data"), config, progress), name=name)
        texts = [HeldOut(names[0], data, read[0][1] if val else _parts(data.val_bytes))]
        for name, (raw, documents) in zip(names[1:], read[1:], strict=True):
            other = dataclasses.replace(data, val_tokens=data.tokenizer.encode(raw), val_bytes=raw)
            texts.append(HeldOut(name, other, documents))
        yield texts


def _names(option: str, paths: Sequence[Path]) -> list[str]:
    """What files are called, packed or not: by name, where two have one by folder and name."""
    plain = [plain_name(path.absolute()) for path in paths]
    often = Counter(path.name for path in plain)
    names = [path.name if often[path.name] == 1 else f"{path.parent.name}/{path.name}" for path in plain]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"--{option}: two texts are called {twice[0]}; give one, or rename the other.")
    return names


def _pair(train: Sequence[Path], val: Path, folder: Path) -> Path:
    """`folder` with a file `train` and a file `val`: such a folder says itself what is held out."""
    folder.mkdir()
    for stem, path in [("train", train[0])] * (len(train) == 1) + [("val", val)]:
        suffixes = path.name.removeprefix(plain_name(path).stem)
        (folder / f"{stem}{suffixes}").symlink_to(path.resolve())
    if len(train) > 1:
        with (folder / "train.txt").open("wb") as file:
            for number, document in enumerate(text for path in train for text in read_documents(path)):
                file.write(b"\n\f\n" if number else b"")
                file.write(document)
    return folder


def _read(path: Path) -> tuple[bytes, list[bytes]]:
    """A text as it is, rows joined by newlines, as `regrow data` holds them out; and its documents, see `HeldOut`."""
    if ReadAs().kind_of(path) == "text":
        raw = bytes(read_text(path))
        documents = _parts(raw)
    else:
        documents = list(map(bytes, read_documents(path)))
        raw = b"\n".join(documents)
    if not raw:
        raise DataError(f"{path}: is empty; put held-out text into it, or take it away.")
    return raw, documents


def _parts(raw: bytes) -> list[bytes]:
    """The documents of a text, see `HeldOut`."""
    parts = FORM_FEED_LINE.split(raw) if FORM_FEED_LINE.search(raw) else raw.split(b"\n\n")
    return [part for part in parts if part]


def check_pair(train: Path | None, val: Path | None) -> None:
    """Raises ConfigError for held-out text alone."""
    if val is not None and train is None:
        raise ConfigError(f"--val {val}: has no training text beside it; give --train too.")


def share_of_validation(data: Dataset, max_tokens: int) -> Dataset:
    """`data` with at most about `max_tokens` of its held-out text, in pieces spread evenly over it.

    A bench that scores dozens of networks need not score each on everything: all see the same pieces, so
    differences between networks are not blurred by which text was drawn.
    """
    tokens = np.asarray(data.val_tokens)
    pieces = len(tokens) // _PIECE
    wanted = max(1, max_tokens // _PIECE)
    if pieces <= wanted:
        return data
    chosen = np.linspace(0, pieces - 1, wanted).round().astype(np.int64)
    kept = tokens[: pieces * _PIECE].reshape(pieces, _PIECE)[chosen].reshape(-1)
    return dataclasses.replace(data, val_tokens=kept, val_bytes=data.tokenizer.decode(kept))


def tuning_split(data: Dataset) -> Dataset:
    """`data` with a tenth of its training text, whole groups of documents, in the place of its held-out text.

    Raises DataError where that leaves nothing on either side.
    """
    groups, group = np.unique(data.doc_groups, return_inverse=True)
    tuned = group % 10 == 4
    if len(groups) < 5:
        raise DataError(
            f"{data.name}: has {len(groups)} groups of documents, too few to hold a tenth back; give it more text."
        )
    tokens = np.asarray(data.train_tokens)
    sizes = np.diff(np.append(data.doc_offsets, len(tokens)))
    of_tuned = np.repeat(tuned, sizes)
    raw, kept = data.tokenizer.decode(tokens[of_tuned]), sizes[~tuned]
    return dataclasses.replace(
        data, train_tokens=tokens[~of_tuned], doc_offsets=np.cumsum(kept) - kept,
        doc_groups=group[~tuned].astype(np.int32), val_tokens=data.tokenizer.encode(raw), val_bytes=raw,
        train_bytes=data.train_bytes - len(raw),
    )  # fmt: skip
