"""Documents to tokens on every core, in order, with bounded memory, and the same tokens on any number of cores.

Work is cut where the text says (`regrow.data.tokenizer.segments`) and by a fixed size, never by how many processes
there are; results come back in the order of the work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regrow.core.machine import cores
from regrow.core.workers import workers
from regrow.data.documents import Document
from regrow.data.tokenizer import Tokenizer, segments

_JOB_BYTES = 1 << 20  # text of one piece of work: large against the cost of handing it over
_POOL_FROM_BYTES = 1 << 25  # a smaller text is encoded sooner here than processes start
_MAX_PROCESSES = 32  # each takes about 60 MB, and one writer keeps up with no more


class TokenChunk(NamedTuple):
    """Tokens of some segments in a row. `starts`: int64, where in `tokens` a document begins (with BOS);
    `groups`: int32, the group of each such document; `raw_bytes`: the text's size; `ends_document`: nothing follows
    of the last document."""

    tokens: NDArray[np.uint16]
    starts: NDArray[np.int64]
    groups: NDArray[np.int32]
    raw_bytes: int
    ends_document: bool


class _Job(NamedTuple):
    # Each text with the group of the document that begins with it; None where a document goes on.
    segments: list[tuple[bytes, int | None]]
    ends_document: bool


def encode_documents(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    total_bytes: int,
    processes: int | None = None,
    *,
    bos: bool = True,
) -> Iterator[TokenChunk]:
    """The tokens of all documents in order, each after BOS (without it where `bos` is false).

    `processes`: how many to use; None for one a core, or none but this one for a text too small to gain.
    Raises EnvironmentProblem if one of them dies.
    """
    if processes is None:
        processes = min(cores(), _MAX_PROCESSES) if total_bytes >= _POOL_FROM_BYTES else 1
    jobs = _jobs(documents, bos)
    if processes == 1:
        yield from (_encode(tokenizer, job, 0) for job in jobs)
        return
    waiting: deque[Future[TokenChunk]] = deque()
    with workers(processes, _encode_alone, tokenizer) as submit:
        # A pool would take in the whole corpus; only as much is handed out as is being worked on.
        for job in jobs:
            waiting.append(submit(job))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _jobs(documents: Iterable[Document], bos: bool) -> Iterator[_Job]:
    job: list[tuple[bytes, int | None]] = []
    size = 0
    for document in documents:
        for number, segment in enumerate(segments(document.text)):
            if size >= _JOB_BYTES:
                yield _Job(job, number == 0)
                job, size = [], 0
            job.append((segment, document.group if bos and number == 0 else None))
            size += len(segment)
    if job:
        yield _Job(job, True)


def _encode(tokenizer: Tokenizer, job: _Job, threads: int) -> TokenChunk:
    parts: list[NDArray[np.uint16]] = []
    starts: list[int] = []
    groups: list[int] = []
    size = 0
    for text, group in job.segments:
        if group is not None:
            starts.append(size)
            groups.append(group)
            parts.append(np.array([tokenizer.bos_id], np.uint16))
            size += 1
        parts.append(tokenizer.encode(text, threads=threads))
        size += len(parts[-1])
    raw_bytes = sum(len(text) for text, _ in job.segments)
    starts_, groups_ = np.array(starts, np.int64), np.array(groups, np.int32)
    return TokenChunk(np.concatenate(parts), starts_, groups_, raw_bytes, job.ends_document)


def _encode_alone(tokenizer: Tokenizer, job: _Job) -> TokenChunk:
    return _encode(tokenizer, job, 1)
