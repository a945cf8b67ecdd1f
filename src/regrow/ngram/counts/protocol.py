"""What exact and hashed counts have in common."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray


class Counts(Protocol):
    """What fills, merges and identifies counts, exact or hashed."""

    vocab_size: int
    max_order: int

    @property
    def total(self) -> int: ...

    def add(
        self, tokens: NDArray[np.integer[Any]], history: NDArray[np.integer[Any]] | None = None
    ) -> None: ...

    def merge(self, other: Self) -> Self: ...

    def subtract(self, other: Self) -> Self: ...

    def sha256(self) -> str: ...
