"""Stopping a long loop between two steps instead of in the middle of one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from regrow.core.processes import ENDINGS, Terminated

CAUGHT = (signal.SIGINT, *ENDINGS)  # ctrl-C, kill, a closed terminal


def ended_by(number: int, sentence: str) -> BaseException:
    """What to raise when the signal `number` has stopped the work, so that the exit code says so too."""
    return KeyboardInterrupt(sentence) if number == signal.SIGINT else Terminated(number, sentence)


@contextmanager
def stop_signals(
    may_stop_at_once: Callable[[], bool], tell: Callable[[str], None]
) -> Iterator[Callable[[], int]]:
    """Inside, a signal of `CAUGHT` is only noted, and the yielded function gives its number, or 0 if none came; a
    second one, or one that comes while nothing would be lost (`may_stop_at_once`), acts as usual. `tell` answers
    ctrl-C.

    Those that are ignored stay so, as under nohup. Outside the main thread signals cannot be caught, and 0 is given.
    """
    came = [0]
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {s: old for s in CAUGHT if (old := signal.getsignal(s)) is not signal.SIG_IGN}

    def note(number: int, frame: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        if may_stop_at_once():
            signal.raise_signal(number)
            return
        came[0] = number
        if number == signal.SIGINT:  # of the others the terminal may be gone
            with contextlib.suppress(RuntimeError):  # it interrupted the writing of another line
                tell("stopping after this step, with a checkpoint; ctrl-C again stops at once, without one")

    for s in before:
        signal.signal(s, note)
    try:
        yield lambda: came[0]
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
