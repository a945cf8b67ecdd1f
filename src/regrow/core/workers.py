"""Processes that work for this one. multiprocessing would run the caller's script again in each, or fork a process that
has threads; and a script that comes through a pipe cannot be run again.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from regrow.core.errors import EnvironmentProblem

Setup = TypeVar("Setup")
Job = TypeVar("Job")
Result = TypeVar("Result")

_SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the first process's to answer
sys.path[:] = sys.argv[4:]
from regrow.core.processes import end_with_parent
from regrow.core.workers import serve
end_with_parent(int(sys.argv[3]))
serve(*sys.argv[1:3])
"""


class WorkerEnded(EnvironmentProblem):
    """The process that had the job is gone."""


class WorkFailed(Exception):
    """What the job raised, in words."""


@contextlib.contextmanager
def workers(
    number: int, work: Callable[[Setup, Job], Result], setup: Setup
) -> Iterator[Callable[[Job], Future[Result]]]:
    """Submit jobs to so many processes, each of which calls `work` (a module's function) with `setup` and a job.

    A future raises WorkerEnded if the process died of the job, in whose place another comes, and WorkFailed for what
    `work` raised or if its result cannot be pickled. At the end all processes are gone.
    """
    idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
    started: list[subprocess.Popen[bytes]] = []
    command = [sys.executable, "-c", _SCRIPT, work.__module__, work.__qualname__, str(os.getpid()), *sys.path]

    def start() -> None:
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(worker)
        with contextlib.suppress(OSError):  # one that has died already is told of when it gets a job
            _send(worker, setup)
        idle.put(worker)

    def call(job: Job) -> Result:
        worker = idle.get()
        assert worker.stdout
        try:
            _send(worker, job)
            result: Result = pickle.load(worker.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            start()
            raise WorkerEnded(
                "a process was ended from outside, perhaps for want of memory; free some and run the command again."
            ) from error
        idle.put(worker)
        if isinstance(result, WorkFailed):
            raise result
        return result

    threads = ThreadPoolExecutor(number)
    try:
        for _ in range(number):
            start()
        yield lambda job: threads.submit(call, job)
    finally:
        for worker in started:
            worker.kill()
        threads.shutdown(wait=True, cancel_futures=True)
        for worker in started:
            worker.kill()  # one that took another's place meanwhile
            with contextlib.suppress(OSError), worker:  # waits for it and closes its pipes
                pass


def serve(module: str, name: str) -> None:
    """The life of a worker: setup, then jobs, from standard input; results to standard output, which nothing else that
    is printed reaches. It ends when its input does, that is with the process that started it."""
    work = getattr(importlib.import_module(module), name)
    jobs, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(EOFError, BrokenPipeError):
        setup = pickle.load(jobs)
        while True:
            job = pickle.load(jobs)
            try:
                message = pickle.dumps(work(setup, job), pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                message = pickle.dumps(WorkFailed(f"{type(error).__name__}: {error}"))
            results.write(message)
            results.flush()


def _send(worker: subprocess.Popen[bytes], what: object) -> None:
    assert worker.stdin
    pickle.dump(what, worker.stdin, pickle.HIGHEST_PROTOCOL)
    worker.stdin.flush()
