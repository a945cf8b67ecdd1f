"""Documents to tokens on every core, in order, with bounded memory, and the same tokens on any number of cores.

Work is cut where the text says (`regrow.data.tokenizer.segments`) and by a fixed size, never by how many processes
there are; results come back in the order of the work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import EnvironmentProblem
from regrow.data.documents import Document
from regrow.data.tokenizer import Tokenizer, segments

_JOB_BYTES = 1 << 20  # text of one piece of work: large against the cost of handing it over
_POOL_FROM_BYTES = 1 << 25  # a smaller text is encoded sooner here than processes start
_MOST_PROCESSES = 32  # each takes about 60 MB, and one writer keeps up with no more


class Encoded(NamedTuple):
    """Tokens of some segments in a row. `starts`: int64, where in `tokens` a document begins (with BOS);
    `groups`: int32, the group of each such document; `raw_bytes`: the text's size; `ends_document`: nothing follows
    of the last document."""

    tokens: NDArray[np.uint16]
    starts: NDArray[np.int64]
    groups: NDArray[np.int32]
    raw_bytes: int
    ends_document: bool


class _Segment(NamedTuple):
    text: bytes
    group: int | None  # of the document that begins here; None: it goes on


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def encode_documents(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    total_bytes: int,
    processes: int | None = None,
    *,
    bos: bool = True,
) -> Iterator[Encoded]:
    """The tokens of all documents in order, each after BOS (without it where `bos` is false).

    `processes`: how many to use; None for one a core, or none but this one for a text too small to gain.
    Raises EnvironmentProblem if one of them dies.
    """
    if processes is None:
        processes = min(cores(), _MOST_PROCESSES) if total_bytes >= _POOL_FROM_BYTES else 1
    jobs = _jobs(documents, bos)
    if processes == 1:
        yield from (_encode(tokenizer, job, 0) for job in jobs)
        return
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _start, (tokenizer.to_bytes(), os.getpid())
    )
    waiting: deque[Future[Encoded]] = deque()
    try:
        # A pool would take in the whole corpus; only as much is handed out as is being worked on.
        for job in jobs:
            waiting.append(pool.submit(_encode_here, job))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise EnvironmentProblem(
            "a process that tokenises was ended from outside, perhaps for want of memory; free some and run the "
            "command again."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Job(NamedTuple):
    segments: list[_Segment]
    ends_document: bool


def _jobs(documents: Iterable[Document], bos: bool) -> Iterator[_Job]:
    job: list[_Segment] = []
    size = 0
    for document in documents:
        for number, segment in enumerate(segments(document.text)):
            if size >= _JOB_BYTES:
                yield _Job(job, number == 0)
                job, size = [], 0
            job.append(_Segment(segment, document.group if bos and number == 0 else None))
            size += len(segment)
    if job:
        yield _Job(job, True)


def _encode(tokenizer: Tokenizer, job: _Job, threads: int) -> Encoded:
    start = np.array([tokenizer.bos_id], np.uint16)
    parts: list[NDArray[np.uint16]] = []
    starts: list[int] = []
    groups: list[int] = []
    size = 0
    for text, group in job.segments:
        if group is not None:
            starts.append(size)
            groups.append(group)
            parts.append(start)
            size += 1
        parts.append(tokenizer.encode(text, threads=threads))
        size += len(parts[-1])
    raw_bytes = sum(len(segment.text) for segment in job.segments)
    return Encoded(
        np.concatenate(parts),
        np.array(starts, np.int64),
        np.array(groups, np.int32),
        raw_bytes,
        job.ends_document,
    )


# What a worker process keeps between its pieces of work.
_worker: dict[str, Any] = {}


def _start(payload: bytes, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the first process's to answer
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _worker["tokenizer"] = Tokenizer.from_bytes(payload)


def _end_with(parent: int) -> None:
    """A first process that is killed cannot tell its workers, and they would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _encode_here(job: _Job) -> Encoded:
    return _encode(_worker["tokenizer"], job, 1)
