"""Seconds of a piece of work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What the work gives, and its seconds."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def fastest(work: Callable[[], T], times: int = 3) -> tuple[T, float]:
    """What the work gives, and the seconds of the fastest of several times: first touches of memory do not count."""
    result, seconds = timed(work)
    for _ in range(times - 1):
        result, again = timed(work)
        seconds = min(seconds, again)
    return result, seconds
