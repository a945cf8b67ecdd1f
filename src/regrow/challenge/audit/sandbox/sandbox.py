"""Running somebody else's scorer in a limited child process.

The child holds the foreign code; the audit holds the tokens and the judgement. A probe asks the child for a
distribution, and only afterwards tells it which token came: what the child says cannot depend on what it has not been
told.
`confine` says what the child may do, and, in its docstring, what it does not contain.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.challenge.audit.sandbox.wire import WireClosed, WireTimeout, receive, send
from regrow.core.errors import RegrowError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Limits:
    """What the child may use: seconds of CPU, wall seconds an answer, bytes of memory and of one file."""

    cpu_seconds: int = 900
    answer_seconds: float = 120.0
    memory_bytes: int = 12 * 2**30
    file_bytes: int = 64 * 2**20


class ChildError(RegrowError):
    """The child raised, ended or fell silent; the message says which, with the child's last words."""


class Child:
    """One limited child process, a context manager.

    Args:
        task: `shim` or `smoke`.
        path: the shim, the artifact or the script.
        readable: folders it may read besides `path`'s own.
        limits: what it may use.

    Attributes:
        confined: what holds, one phrase each for limits, network, files and processes.

    Raises:
        ChildError: it did not start.
    """

    def __init__(
        self, task: str, path: Path, readable: tuple[Path, ...] = (), limits: Limits | None = None
    ) -> None:
        self._limits = limits or Limits()
        self._folder = tempfile.TemporaryDirectory(prefix="regrow-audit-")
        scratch = Path(self._folder.name).resolve()
        (scratch / "tmp").mkdir()
        self._output = scratch / "output.txt"
        requests_read, self._requests = os.pipe()
        self._answers, answers_write = os.pipe()
        job = {
            "task": task,
            "path": str(path.resolve()),
            "scratch": str(scratch),
            "beside": [str(p.resolve()) for p in readable],
            "readable": [str(p.resolve()) for p in (path.parent, *readable)],
            "python_path": [p for p in sys.path if p and Path(p).is_dir()],
            "requests": requests_read,
            "answers": answers_write,
            "limits": [self._limits.cpu_seconds, self._limits.memory_bytes, self._limits.file_bytes],
        }
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": str(scratch), "TMPDIR": str(scratch / "tmp"), "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
            "PYTHONDONTWRITEBYTECODE": "1", "TORCHINDUCTOR_CACHE_DIR": str(scratch / "tmp"), "USER": "nobody",
        }  # fmt: skip
        script = str(Path(__file__).with_name("child.py"))
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-u", script, json.dumps(job)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=scratch,
                env=environment,
                pass_fds=(requests_read, answers_write),
                start_new_session=True,
            )
        os.close(requests_read)
        os.close(answers_write)
        try:
            self.confined: dict[str, str] = self.listen(60.0)[0]["confined"]
        except BaseException:
            self.close()
            raise

    def ask(self, what: str, arrays: dict[str, np.ndarray] | None = None, **values: Any) -> Any:
        """Ask the child for one thing and return (header, arrays) of its answer.

        Raises:
            ChildError: it raised, ended, or did not answer in time.
        """
        try:
            send(self._requests, {"ask": what, **values}, arrays)
        except OSError as error:
            raise ChildError(f"The scorer's process ended: {self.last_words()}.") from error
        return self.listen(self._limits.answer_seconds)

    def listen(self, seconds: float) -> Any:
        """Wait for one message of the child: (header, arrays). Raises as `ask` does."""
        try:
            header, arrays = receive(self._answers, seconds)
        except WireTimeout as error:
            raise ChildError(f"The scorer's process did not answer within {seconds:.0f} s.") from error
        except WireClosed as error:
            raise ChildError(f"The scorer's process ended: {self.last_words()}.") from error
        if "error" in header:
            raise ChildError(str(header["error"])[:2000])
        return header, arrays

    def last_words(self) -> str:
        """Exit status and the end of what the child printed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        status = self._process.returncode
        ended = "still running" if status is None else f"exit status {status}"
        if status is not None and status < 0:
            ended = f"signal {signal.Signals(-status).name}"
        try:
            with self._output.open("rb") as handle:
                handle.seek(max(0, self._output.stat().st_size - 1500))
                tail = handle.read().decode("utf-8", errors="replace").strip()
        except OSError:
            tail = ""
        return f"{ended}; {tail}" if tail else ended

    def close(self) -> None:
        """End the child and everything it started, and remove its scratch folder."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for handle in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                os.close(handle)
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
