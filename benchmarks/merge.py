"""What it costs two processes to make their counts one: `regrow bench merge`.

Each process counts half of the text with one thread, then they merge: by ranges of keys, after which each holds a half
of the merged counts, and the ranges laid end to end, after which each holds the whole. The counts are those of one
process, byte for byte.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dated import Found, Size, about
from regrow.core.dist import process_group
from regrow.core.errors import EnvironmentProblem, RegrowError
from regrow.core.processes import ends_with_parent
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.compute import keep_freed_pages
from regrow.ngram.counts.merge_processes import count_piece, merge_range, whole_of
from regrow.ngram.counts.ngram_counts import NgramCounts

SIZES = {"": Size(1024)}
ORDER, PROCESSES = 6, 2
_ROUNDS = 3
_WARM = 100_000  # tokens counted and merged beforehand: compiled code is fetched, connections are made


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
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
                rounds.append(_in_one_group(path, data.vocab_size, data.tokenizer.bos_id))
                task.advance(1)
    return {
        **about(data),
        "order": ORDER,
        "processes": PROCESSES,
        "counts_sha256": expected,
        "rounds": rounds,
    }


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Of every round: seconds of counting, merging's part of it, and bytes sent over the process's own table."""

    def slowest(processes: Sequence[Found], key: str) -> float:
        return max(float(p[key]) for p in processes)

    return {
        f"round {i}": {
            "count_seconds": slowest(processes, "count_seconds"),
            "merge_of_counting": slowest(processes, "merge_seconds") / slowest(processes, "count_seconds"),
            "whole_of_counting": slowest(processes, "whole_seconds") / slowest(processes, "count_seconds"),
            "sent_of_own_table": max(p["merge_bytes"] / p["table_bytes"] for p in processes),
            "sent_with_whole": max(
                (p["merge_bytes"] + p["whole_bytes"]) / p["table_bytes"] for p in processes
            ),
            "counts_of_one_process": {p["counts_sha256"] for p in processes} == {found["counts_sha256"]},
        }
        for i, processes in enumerate(found["rounds"], 1)
    }


def _in_one_group(*arguments: object) -> list[Found]:
    """What each process of one group measured. Raises EnvironmentProblem if one fails."""
    with tempfile.TemporaryDirectory(prefix="regrow-bench-merge-") as out:
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}",
            "-m", "benchmarks.merge", out, *map(str, arguments),
        ]  # fmt: skip
        env = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        if subprocess.run(
            ends_with_parent(command), env=env, cwd=Path(__file__).parents[1], check=False
        ).returncode:
            raise EnvironmentProblem("bench merge: a process failed; its message is above.")
        return [json.loads(path.read_bytes()) for path in sorted(Path(out).glob("*.json"))]


def _child(out: Path, path: str, vocab_size: int, bos_id: int) -> None:
    """One process's part, into a file of its own."""
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
        measured = {
            "count_seconds": counted - started, "table_bytes": counts.nbytes, "merge_seconds": merged - began,
            "merge_bytes": sent_merging - sent, "whole_seconds": ended - merged,
            "whole_bytes": group.traffic.bytes - sent_merging, "counts_sha256": whole.sha256(),
        }  # fmt: skip
        (out / f"{group.rank}.json").write_text(json.dumps(measured))


if __name__ == "__main__":
    try:
        _child(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    except RegrowError as error:
        sys.exit(f"bench merge: {error}")
