"""Compiling a kernel once: at its first use, for one signature, kept in numba's cache between processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compile_kernel(function: Callable[..., Any], signature: str) -> Callable[..., Any]:
    """The function compiled for exactly this signature; it runs without the interpreter's lock."""
    kernel: Callable[..., Any]
    try:
        kernel = numba.njit(signature, nogil=True, cache=True)(function)
    except RuntimeError:
        # No folder for the cache (a read-only installation without a home): compile for this process alone.
        kernel = numba.njit(signature, nogil=True)(function)
    return kernel
