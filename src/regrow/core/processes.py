"""Ending without leaving anything behind: signals that let clean-up run, and children that end with their parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1


# What asks a process to end: kill, and a closed terminal, which Windows does not have.
ENDINGS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(BaseException):
    """SIGTERM or SIGHUP came (`number`); raised where the main thread is, as KeyboardInterrupt is for ctrl-C."""

    def __init__(self, number: int, sentence: str = "") -> None:
        super().__init__(sentence or f"ended by {signal.Signals(number).name}")
        self.number = number


@contextlib.contextmanager
def clean_ending() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP (a closed terminal) raise `Terminated`, so that children are ended and temporary files
    and folders removed. What is ignored, as under nohup, stays so; only in the main thread can signals be caught.
    One that falls into a callback of C code, where Python drops exceptions (numba has some), is sent again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    before = {s: signal.getsignal(s) for s in ENDINGS}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, end)
    hook = sys.unraisablehook

    def send_again(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, Terminated | KeyboardInterrupt):
            hook(dropped)
            return
        number = getattr(dropped.exc_value, "number", signal.SIGINT)
        timer = threading.Timer(0.05, os.kill, (os.getpid(), number))  # by then the callback is over
        timer.daemon = True
        timer.start()

    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(number, handler)


def end_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends, however that ends; `parent` is that
    process. Without Linux it does nothing."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the kernel was asked
            os._exit(1)


def ends_with_parent(command: Sequence[str | Path]) -> list[str]:
    """The command of a child that is killed when this process ends, even by SIGKILL.

    A few milliseconds of Python ask for it and become the command. (Popen's `preexec_fn` would run Python between fork
    and exec, where other threads' locks are held and an interrupt is lost.)
    """
    asking = f"from regrow.core.processes import end_with_parent as e; e({os.getpid()})"
    script = f"import os, sys; sys.path[:0] = {sys.path!r}; {asking}; os.execvp(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-S", "-E", "-c", script, *map(str, command)]
