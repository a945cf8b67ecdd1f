"""Stopping a long loop between two steps instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Inside, SIGINT, SIGTERM and SIGHUP (a closed terminal) only set a flag, which the yielded function reads; a
    second one acts as usual.

    Those that are ignored stay so, as under nohup. Outside the main thread signals cannot be caught, and the flag
    stays down.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {s: old for s in caught if (old := signal.getsignal(s)) is not signal.SIG_IGN}

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(number, before[signal.Signals(number)])

    for s in before:
        signal.signal(s, ask)
    try:
        yield asked.is_set
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
