"""Tokenising a large text: our whole path from files to a data folder beside SentencePiece's bare encoder.

The text is the bench's own, or the user's, its lines in a seeded random order again and again up to the size wanted.
Ours is timed from reading the files a second time to the last byte written, vocabulary apart; theirs by the calls of
its encoder alone, on lists of lines that are in memory already, with as many threads as ours has processes. Memory is
that of all our processes together, mapped pages of the text included.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dated import Found, about
from benchmarks.texts import OWN_TEXT
from regrow.core.config.schema import DataConfig
from regrow.core.machine import cores
from regrow.core.progress import Progress, Silent, Task
from regrow.data.build import build_dataset
from regrow.data.readers import read_text
from regrow.data.sources import read_source

SIZES = {"": 1_000_000_000, "200": 200_000_000, "quick": 4_000_000}
_VOCAB = 1024
_FILE_BYTES = 100_000_000
_DOCUMENT_BYTES = 8192
_THEIR_TRAINING_BYTES = 5_000_000
_LINES = 20_000  # handed to their encoder at a time


def measure(text: bytes, size: int, progress: Progress) -> Found:
    """Figures of one run on `size` bytes made of `text`; speeds in bytes a second, memory in bytes."""
    with tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch:
        corpus = Path(scratch, "corpus")
        corpus.mkdir()
        with progress.task("writing the text", size, "B") as task:
            written = write_corpus(text, size, corpus, task)
        with progress.task("building a data folder"):
            ours = _ours(corpus, Path(scratch, "data"))
        with progress.task("their encoder", written, "B") as task:
            theirs = _theirs(corpus, task)
    our_speed, their_speed = ours["tokenised_bytes"] / ours["tokenising"], theirs["bytes"] / theirs["seconds"]
    return {
        **about(None, compiled=False),
        "text_bytes": written,
        "vocab_size": _VOCAB,
        "processes": cores(),
        "bytes_per_second": our_speed,
        "their_bytes_per_second": their_speed,
        "ratio": our_speed / their_speed,
        "bytes_per_token": ours["bytes_per_token"],
        "their_bytes_per_token": theirs["bytes_per_token"],
        "survey_seconds": ours["reading"],
        "vocabulary_seconds": ours["vocabulary"],
        "tokenising_seconds": ours["tokenising"],
        "peak_memory_bytes": ours["peak_memory_bytes"],
    }


def summary(found: Found) -> dict[str, Any]:
    """Every figure; a ratio is ours over theirs."""
    return {key: value for key, value in found.items() if isinstance(value, int | float)}


def write_corpus(text: bytes, size: int, folder: Path, task: Task) -> int:
    """Write files of documents of about 8 KB, one form feed line between two; returns the bytes of text in them."""
    lines = [line + b"\n" for line in text.split(b"\n") if line]
    order = np.random.Generator(np.random.PCG64(0))
    written, number = 0, 0
    source = _shuffled(lines, order)
    while written < size:
        with (folder / f"{number:03d}.txt").open("wb") as file:
            number += 1
            end = min(size, written + _FILE_BYTES)
            while written < end:
                document: list[bytes] = []
                length = 0
                while length < _DOCUMENT_BYTES:
                    document.append(next(source))
                    length += len(document[-1])
                file.write(b"".join(document) + b"\x0c\n")
                written += length
                task.advance(length)
    return written


def _shuffled(lines: list[bytes], order: np.random.Generator) -> Iterator[bytes]:
    while True:
        for i in order.permutation(len(lines)).tolist():
            yield lines[i]


def _ours(corpus: Path, out: Path) -> dict[str, float]:
    """Build in a fresh process, whose memory and that of its own processes is watched."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_build, args=(str(corpus), out, there), daemon=True)
    process.start()
    with _watched(process.pid or 0) as peak:
        try:
            seconds: dict[str, float] = here.recv()
        except EOFError:
            seconds = {}
        process.join()
    if not seconds:
        raise RuntimeError("the process that builds the data folder failed; its message is above")
    return {**seconds, "peak_memory_bytes": peak[0]}


class _Timer(Silent):
    """Remembers how long each task took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def task(self, description: str, total: float | None = None, unit: str = "") -> Iterator[Task]:
        """See `Progress.task`."""
        started = time.perf_counter()
        yield self
        self.seconds[description] = time.perf_counter() - started


def _build(corpus: str, out: Path, pipe: Any) -> None:
    timer = _Timer()
    data = build_dataset(corpus, out, DataConfig(vocab_size=_VOCAB), timer)
    size = data.train_bytes + len(data.val_bytes)
    reading = next(seconds for name, seconds in timer.seconds.items() if name.startswith("reading"))
    pipe.send(
        {
            "reading": reading,
            "vocabulary": timer.seconds["making the vocabulary"],
            "tokenising": timer.seconds["tokenising"],
            "tokenised_bytes": size,
            "bytes_per_token": size / (len(data.train_tokens) + len(data.val_tokens)),
        }
    )


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """The largest sum of resident memory, in bytes, of a process and its descendants while the block runs."""
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            peak[0] = max(peak[0], sum(_resident(p) for p in _family(pid)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _family(pid: int) -> list[int]:
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        try:
            text = Path(f"/proc/{found[-1]}/task/{found[-1]}/children").read_text(encoding="ascii")
        except OSError:
            continue
        queue += [int(child) for child in text.split()]
    return found


def _resident(pid: int) -> int:
    """Proportional share where the kernel tells it (a page shared by two counts half in each), else all of it."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _theirs(corpus: Path, task: Task) -> dict[str, float]:
    import sentencepiece

    files = sorted(corpus.iterdir())
    sample = files[0].read_bytes()[:_THEIR_TRAINING_BYTES].decode("utf-8", "replace")
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sample.split("\n")), model_writer=proto, model_type="bpe", vocab_size=_VOCAB,
        byte_fallback=True, minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.getvalue())
    seconds, size, tokens = 0.0, 0, 0
    for file in files:
        with file.open(encoding="utf-8", errors="replace", newline="\n") as stream:
            while lines := [line for _, line in zip(range(_LINES), stream, strict=False)]:
                started = time.perf_counter()
                encoded = processor.encode(lines, return_type="numpy", num_threads=cores())
                seconds += time.perf_counter() - started
                part = sum(len(line.encode("utf-8")) for line in lines)
                size, tokens = size + part, tokens + sum(map(len, encoded))
                task.advance(part)
    return {"seconds": seconds, "bytes": size, "bytes_per_token": size / tokens}


def own_text(train: Path | None) -> bytes:
    """The text of `train`, or the bench's own."""
    if train is not None:
        return bytes(read_text(train))
    return b"\n".join(bytes(document.text) for document in read_source(OWN_TEXT, 0.1).train)
