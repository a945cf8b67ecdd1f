"""Runs of the command line that start in milliseconds: a server imports everything once and forks a process a run.

The server computes next to nothing itself, so it has no threads that a fork would lose. Several processes of one run
find each other by the variables that torchrun sets. A run may carry a `Moment` at which one of its processes ends
with SIGKILL, the signal that nothing can catch.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import io
import json
import os
import pkgutil
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

import regrow

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Moment:
    """When process `rank` ends: in `place`, after `delay` seconds there or `share` of what is to be written.

    Places: "anywhere" (from the start on), "checkpoint", "packing" (half-written files of both), "between" (in
    packing, at any time), "merging" (ranges are merged, the whole is not yet shared), "late" (a certain step).
    """

    place: str
    delay: float = 0.0
    share: float = 0.5
    occurrence: int = 1
    rank: int = 0


@dataclass(frozen=True)
class Ended:
    """How each process of a run ended: exit codes (negative: by that signal), seconds, standard output and error."""

    codes: list[int]
    seconds: list[float]
    out: list[str]
    err: list[str]

    @property
    def said(self) -> list[str]:
        """Both, standard output last."""
        return [err + out for err, out in zip(self.err, self.out, strict=True)]

    @property
    def fine(self) -> bool:
        return all(code == 0 for code in self.codes)


class ForkServer:
    """The client's side. A context manager."""

    def __enter__(self) -> ForkServer:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.forks"], cwd=ROOT, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)

    def run(
        self,
        *arguments: object,
        processes: int = 1,
        moment: Moment | None = None,
        stop: str | None = None,
        restarts: int = 0,
        file_limit: int = 0,
        float32: bool = False,
        modest: bool = False,
        folder: Path = ROOT,
        call: str = "",
    ) -> Ended:
        """`regrow ARGUMENTS` in `processes` processes, or `call`, a function of `tests.e2e.group_calls`.

        `stop`: a file; once it has a line, all processes get SIGTERM. `restarts`: how often torchrun would have started
        them before. `file_limit`: bytes beyond which no file can grow, as on a full disk. `float32`: compute in it.
        `modest`: without root's power over files that their modes forbid. `folder`: to work in.
        """
        assert self._process.stdin and self._process.stdout
        request = {
            "arguments": [a if call else str(a) for a in arguments], "processes": processes, "stop": stop,
            "moment": asdict(moment) if moment else None, "restarts": restarts, "file_limit": file_limit,
            "float32": float32, "modest": modest, "call": call,
            "folder": str(folder),
        }  # fmt: skip
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def prepare(self, function: str) -> None:
        """Call `module:function` in the server itself: what it keeps is there in every run that is forked later."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"prepare": function}) + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def json(self, *arguments: object) -> Any:
        """The JSON object that a command prints, which must succeed."""
        ended = self.run(*arguments, "--json", "--quiet")
        assert ended.fine, ended.said
        return json.loads(ended.said[0].splitlines()[-1])


@functools.cache
def fork_server() -> ForkServer:
    """One a worker, until pytest ends."""
    server = ForkServer().__enter__()
    atexit.register(server.__exit__, None, None, None)
    return server


def serve() -> None:
    """Answer requests on standard input until it is closed."""
    # What runs import on their way, all at once: the first optimiser imports torch._dynamo, two seconds of it; parsing
    # a command line and loading a compiled function import more.
    import torch._dynamo
    import torch.utils.tensorboard  # noqa: F401

    from regrow.artifact.int_coder import encode_ints
    from regrow.cli import main

    for module in pkgutil.walk_packages(regrow.__path__, "regrow."):
        if not module.name.endswith(("__main__", "_child", ".child", "hf_model", "lm_eval")):
            importlib.import_module(module.name)
    encode_ints(np.zeros(8, np.int8))
    with contextlib.redirect_stdout(io.StringIO()):
        main(["config", "list"])

    for line in sys.stdin:
        request = json.loads(line)
        if "prepare" in request:
            module, name = request["prepare"].split(":")
            getattr(importlib.import_module(module), name)()
            print(flush=True)
            continue
        n = request["processes"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        pipes = [os.pipe() for _ in range(2 * n)]  # standard output of each process, then standard error
        children = {_fork(request, rank, n, port, pipes): rank for rank in range(n)}
        for _, writer in pipes:
            os.close(writer)
        said = [""] * (2 * n)
        readers = [threading.Thread(target=_read, args=(pipes[i][0], said, i)) for i in range(2 * n)]
        for reader in readers:
            reader.start()
        started = time.monotonic()
        if request["stop"]:
            while not (Path(request["stop"]).exists() and Path(request["stop"]).stat().st_size):
                time.sleep(0.002)
            for pid in children:
                os.kill(pid, signal.SIGTERM)
        codes, seconds = [0] * n, [0.0] * n
        for _ in range(n):
            pid, status = os.wait()
            codes[children[pid]] = os.waitstatus_to_exitcode(status)
            seconds[children[pid]] = time.monotonic() - started
        for reader in readers:
            reader.join()
        print(json.dumps({"codes": codes, "seconds": seconds, "out": said[:n], "err": said[n:]}), flush=True)


def _read(descriptor: int, said: list[str], rank: int) -> None:
    with os.fdopen(descriptor, "rb") as pipe:
        said[rank] = pipe.read().decode("utf-8", "replace")


def _fork(request: dict[str, Any], rank: int, n: int, port: int, pipes: list[tuple[int, int]]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(pipes[rank][1], 1)
        os.dup2(pipes[n + rank][1], 2)
        # The server's objects think of the files that were there before, in which one can seek.
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        for reader, writer in pipes:
            os.close(reader)
            os.close(writer)
        if n > 1:
            os.environ |= {
                "RANK": str(rank), "WORLD_SIZE": str(n), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(n),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }  # fmt: skip
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(request["restarts"])
        moment = Moment(**request["moment"]) if request["moment"] else None
        if moment and moment.rank == rank:
            arm(moment)
        if request["file_limit"]:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"], request["file_limit"]))
        os.chdir(request["folder"])
        if request["modest"]:
            be_modest()
        if request["float32"]:
            import torch

            for name, module in list(sys.modules.items()):  # wherever it has been imported
                if name.startswith("regrow.") and hasattr(module, "compute_dtype"):
                    setattr(module, "compute_dtype", lambda device: torch.float32)  # noqa: B010
        if request["call"]:
            import tests.e2e.group_calls

            getattr(tests.e2e.group_calls, request["call"])(*request["arguments"])
            code = 0
        else:
            from regrow.cli import main

            code = main(request["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def be_modest() -> None:
    """Give up the capabilities that let root read and write what modes forbid (capabilities 1 and 2, see capset(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) or libc.capset(header, _without(data, 0b110)):
        raise OSError(ctypes.get_errno(), "capset")


def _without(data: Any, bits: int) -> Any:
    for i in range(3):  # effective, permitted, inheritable
        data[i] &= ~bits
    return data


def arm(moment: Moment) -> None:
    """Make this process end at `moment`."""
    import regrow.artifact.container
    import regrow.ngram.counts.merge_processes
    import regrow.training.checkpoint
    import regrow.training.trainer

    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def end_later() -> None:
        timer = threading.Timer(moment.delay, end)
        timer.daemon = True
        timer.start()

    def entering(place: Any, name: str, then: Callable[[], None]) -> None:
        inner, calls = getattr(place, name), [0]

        def watched(*arguments: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] == moment.occurrence:
                then()
            return inner(*arguments, **named)

        setattr(place, name, watched)

    def half_written(place: Any) -> None:
        from regrow.core.files import atomic_write

        inner, calls = place.atomic_write_bytes, [0]

        def torn(path: Path, data: bytes) -> None:
            calls[0] += 1
            if calls[0] != moment.occurrence:
                return inner(path, data)  # type: ignore[no-any-return]
            if moment.share >= 1:  # written, but nothing after it is done
                inner(path, data)
                end()
            with atomic_write(path) as file:
                file.write(data[: int(len(data) * moment.share)])
                file.flush()
                end()
            return None

        place.atomic_write_bytes = torn

    if moment.place == "anywhere":
        end_later()
    elif moment.place == "checkpoint":
        half_written(regrow.training.checkpoint)
    elif moment.place == "packing":
        half_written(regrow.artifact.container)
    elif moment.place == "between":
        entering(regrow.training.trainer, "pack", end_later)
    elif moment.place == "late":
        entering(regrow.training.trainer.Trainer, "_one_step", end)
    elif moment.place == "merging":
        entering(regrow.ngram.counts.merge_processes, "whole_of", end)
    else:
        raise ValueError(moment.place)


if __name__ == "__main__":
    serve()
