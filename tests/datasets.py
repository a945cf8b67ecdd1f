"""Data folders' contents without a folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.data.dataset import Dataset
from regrow.data.tokenizer import Tokenizer


def dataset_of(
    tokenizer: Tokenizer,
    train_tokens: NDArray[Any],
    doc_offsets: NDArray[Any] | Sequence[int],
    doc_groups: NDArray[Any] | Sequence[int],
    val_bytes: bytes,
) -> Dataset:
    """A dataset in memory: documents that begin with BOS at the offsets, each of a group, and held-out text."""
    tokens, offsets = np.asarray(train_tokens, np.uint16), np.asarray(doc_offsets, np.int64)
    assert np.array_equal(np.flatnonzero(tokens == tokenizer.bos_id), offsets)
    return Dataset(
        "arrays", tokenizer, tokens, offsets, np.asarray(doc_groups, np.int32), tokenizer.encode(val_bytes), val_bytes,
        len(tokenizer.decode(tokens)),
    )  # fmt: skip
