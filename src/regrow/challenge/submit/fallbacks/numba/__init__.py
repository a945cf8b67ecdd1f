"""Stands in for numba: functions run as plain Python. The same results, hundreds of times slower."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

prange = range

warnings.warn(
    "numba is not installed: counting and reading the memory run as plain Python, hundreds of times slower",
    RuntimeWarning,
    stacklevel=2,
)


def njit(*given: Any, **options: Any) -> Any:
    """The function itself, whether called with a signature, with options, or as a bare decorator."""
    if given and callable(given[0]) and not isinstance(given[0], type):
        return given[0]

    def same(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    return same


jit = njit
