"""What it costs two processes to make their counts one: `regrow bench merge`.

Each process counts half of the text with one thread, then they merge: by ranges of keys, after which each holds a half
of the merged counts, and the ranges laid end to end, after which each holds the whole. The counts are those of one
process, byte for byte.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.dated import this_machine, today, version
from regrow.core.dist import process_group
from regrow.core.errors import EnvironmentProblem, RegrowError
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.compute import keep_freed_pages
from regrow.ngram.counts.merge_processes import count_piece, merge_range, whole_of
from regrow.ngram.counts.ngram_counts import NgramCounts

VOCAB_SIZE, ORDER, PROCESSES = 1024, 6, 2
_ROUNDS = 3
_WARM = 100_000  # tokens counted and merged beforehand: compiled code is fetched, connections are made


def measure(data: Dataset, progress: Progress) -> dict[str, Any]:
    """Counting and merging the training text of `data`, `_ROUNDS` times, by processes of one thread each."""
    with tempfile.TemporaryDirectory(prefix="regrow-bench-merge-") as folder:
        path = Path(folder) / "tokens.npy"
        np.save(path, np.asarray(data.train_tokens))
        alone = NgramCounts(data.vocab_size, ORDER, bos_id=data.tokenizer.bos_id)
        alone.add(np.asarray(data.train_tokens))
        expected = alone.sha256()
        del alone
        rounds = []
        with progress.task("count and merge", total=_ROUNDS, unit="round") as task:
            for _ in range(_ROUNDS):
                rounds.append(_together([str(path), str(data.vocab_size), str(data.tokenizer.bos_id)]))
                task.advance(1)
    return {
        "date": today(), "version": version(),
        "machine": this_machine(torch.device("cpu"), torch.float32, compiled=True),
        "text": {**data.counts, "vocab_size": data.vocab_size}, "order": ORDER, "processes": PROCESSES,
        "counts_sha256": expected, "rounds": rounds,
    }  # fmt: skip


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Of every round: seconds of counting, merging's part of it, and bytes sent over the process's own table."""
    return {
        f"round {i}": {
            "count_seconds": max(p["count_seconds"] for p in processes),
            "merge_of_counting": _part(processes, "merge_seconds"),
            "whole_of_counting": _part(processes, "whole_seconds"),
            "sent_of_own_table": max(p["merge_bytes"] / p["table_bytes"] for p in processes),
            "sent_with_whole": max(
                (p["merge_bytes"] + p["whole_bytes"]) / p["table_bytes"] for p in processes
            ),
            "counts_of_one_process": {p["counts_sha256"] for p in processes} == {found["counts_sha256"]},
        }
        for i, processes in enumerate(found["rounds"], 1)
    }


def _part(processes: Sequence[dict[str, Any]], key: str) -> float:
    seconds: float = max(p[key] for p in processes) / max(p["count_seconds"] for p in processes)
    return seconds


def _together(arguments: list[str]) -> list[dict[str, Any]]:
    """What each process of one group prints. Raises EnvironmentProblem if one fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.merge", *arguments]
    started = []
    for rank in range(PROCESSES):
        env = os.environ | {
            "RANK": str(rank), "WORLD_SIZE": str(PROCESSES), "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True))
    while any(process.poll() is None for process in started):
        if any(process.poll() for process in started):  # the others would wait for it
            for process in started:
                process.kill()
        time.sleep(0.02)
    if any(process.returncode for process in started):
        raise EnvironmentProblem("bench merge: a process failed; its message is above.")
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]


def _child(path: str, vocab_size: int, bos_id: int) -> dict[str, Any]:
    """One process's part."""
    keep_freed_pages()
    tokens = np.load(path)

    def empty() -> NgramCounts:
        return NgramCounts(vocab_size, ORDER, bos_id=bos_id, threads=1)

    with process_group() as group:
        warm = empty()
        warm.add(tokens[group.rank * _WARM :][:_WARM])
        whole_of(merge_range(warm, group), group)
        counts = empty()
        group.barrier()
        started = time.perf_counter()
        count_piece(counts, tokens, group)
        counts.windows(ORDER)  # what was added is sorted
        counted = time.perf_counter()
        group.barrier()
        began, sent = time.perf_counter(), group.traffic.bytes
        part = merge_range(counts, group)
        merged, sent_merging = time.perf_counter(), group.traffic.bytes
        whole = whole_of(part, group)
        ended = time.perf_counter()
        return {
            "count_seconds": counted - started, "table_bytes": counts.nbytes, "merge_seconds": merged - began,
            "merge_bytes": sent_merging - sent, "whole_seconds": ended - merged,
            "whole_bytes": group.traffic.bytes - sent_merging, "counts_sha256": whole.sha256(),
        }  # fmt: skip


if __name__ == "__main__":
    try:
        told = _child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    except RegrowError as error:
        sys.exit(f"bench merge: {error}")
    sys.stdout.write(json.dumps(told) + "\n")
