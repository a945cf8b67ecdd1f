"""Threads that work side by side, and take turns at what only one may do at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class _Stopped(Exception):
    """Another thread failed."""


class Turns:
    """`count` threads: `run` starts them, `mine` gives each its turn, in their order and round and round."""

    def __init__(self, count: int) -> None:
        self._gates = [threading.Semaphore(int(n == 0)) for n in range(count)]
        self._errors: list[BaseException] = []

    def run(self, work: Callable[[int], None]) -> None:
        """`work(n)` of every thread n, of which 0 is the caller's. Where one raises, the others end at their next turn,
        and its error is raised here."""

        def guarded(n: int) -> None:
            try:
                work(n)
            except _Stopped:
                pass
            except BaseException as error:
                self._errors.append(error)
                for gate in self._gates:
                    gate.release()

        others = [threading.Thread(target=guarded, args=(n,)) for n in range(1, len(self._gates))]
        for thread in others:
            thread.start()
        guarded(0)
        for thread in others:
            thread.join()
        if self._errors:
            raise self._errors[0]

    @contextlib.contextmanager
    def mine(self, n: int) -> Iterator[None]:
        """Wait for the turn of thread n, and hand it on afterwards."""
        self._gates[n].acquire()
        if self._errors:
            raise _Stopped
        yield
        self._gates[(n + 1) % len(self._gates)].release()
