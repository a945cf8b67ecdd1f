"""Golden: tables and rows of exact inference; a change would break every stream that was ever written."""

from __future__ import annotations

import hashlib

import numpy as np

from regrow.predict.exact.tables import rotary_turns, tables


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()[:16]


def test_tables() -> None:
    t = tables()
    assert [digest(x) for x in (t.exp2, t.log2, t.tanh, t.cos, rotary_turns(16))] == TABLES


TABLES = ["91658707a6c85da5", "b9b34db0f9dcb32b", "220e6d054fe4ac0a", "33e5d1968f325bb4", "bd11ab8d262d8942"]
