"""Kernels compiled by another process while this one does other work: numba keeps the interpreter's lock meanwhile.

What the other process compiles reaches this one through numba's cache, so without one nothing is begun.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from regrow.core.jit import Kernel
from regrow.core.machine import cores
from regrow.core.processes import ends_with_parent

_CHILD = "import sys; from regrow.core.compilation import compile_here; compile_here(*sys.argv[1:])"


def compile_ahead(*kernels: Kernel[..., Any], nice: int = 0) -> None:
    """Have another process compile those kernels that are not in numba's cache, in their order, while this process goes
    on. A kernel that is called before waits for it. `nice`: how much the other process gives way, 0 to 19; one that is
    asked for again with less `nice`, since it is needed now, is begun anew."""
    wanted = [k for k in kernels if k.elsewhere is None or k.elsewhere.nice > nice] if cores() > 1 else []
    wanted = [k for k in wanted if k.missing()]
    if not wanted:
        return
    for k in wanted:
        if k.elsewhere is not None:
            k.elsewhere.end()
    try:
        compilation = Compilation([k.name for k in wanted], nice)
    except OSError:  # no process can be started, as under an emulator: each is compiled when it is called
        return
    for k in wanted:
        k.elsewhere = compilation


class Compilation:
    """A process that compiles kernels, and says of each that it is done."""

    def __init__(self, names: Sequence[str], nice: int) -> None:
        self.nice = nice
        self._done: set[str] = set()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            ends_with_parent([sys.executable, "-P", "-c", _CHILD, str(nice), *names]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait(self, name: str) -> None:
        """Until this kernel is in the cache, or never will be."""
        with self._lock:
            assert self._process.stdout is not None
            while name not in self._done:
                line = self._process.stdout.readline()
                if not line:
                    self._process.wait()
                    return
                self._done.add(line.strip())

    def end(self) -> None:
        """Compile no more. What is done stays in the cache."""
        self._process.kill()
        self._process.wait()


def compile_here(nice: str, *names: str) -> None:
    """What the other process does."""
    os.nice(int(nice))
    for name in names:
        module, function = name.split(":")
        getattr(importlib.import_module(module), function).compiled()
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
