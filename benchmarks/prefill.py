"""When to count: while training, ahead of it with one thread, or ahead with all: `regrow bench prefill`.

The published design says that filling its table before training made it ten times worse, measured with a score that is
no probability. Here every arm has the same wall clock for counting and training together, the same network and the
same held-out text, and is judged by the bits per byte of what it packs:

- `while`: a batch is predicted by the memory as it stood before, then counted (`memory.fill = "prequential"`). What the
  run never reaches is never counted, and discounts are estimated from the counts.
- `ahead`: the whole text is counted by one thread first, and training has the rest of the time; the joint phase leaves
  the batch's own documents out, and discounts are fitted to them (`memory.fill = "ahead"`).
- `ahead, in parallel`: the same with all threads counting.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from benchmarks.dated import Found, about
from benchmarks.dated import Size as AnySize
from regrow.core.config.load import apply_overrides, load_preset
from regrow.core.config.schema import Config
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.compute import compute_dtype
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.predict.evaluation import evaluate
from regrow.training.trainer import train


@dataclass(frozen=True)
class Size(AnySize):
    """How much each arm gets: `seconds` for counting and training together, and changes of the `demo` preset."""

    seconds: float = 60.0
    changes: tuple[str, ...] = ("train.compile=on",)


_SMALL = (
    "model.n_layer=1", "model.d_model=64", "model.n_head=2", "model.n_kv_head=1", "model.r=4", "model.window=32",
    "train.seq_len=64", "train.batch_tokens=512", "train.compile=off", "memory.max_order=4", "memory.folds=2",
)  # fmt: skip
SIZES = {"": Size(2048), "quick": Size(300, "quick", 1.0, _SMALL)}
_ARMS = (
    ("while", "prequential", 0),
    ("ahead", "ahead", 1),
    ("ahead, in parallel", "ahead", os.cpu_count() or 1),
)


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
    """Every arm once, with one seed. Raises what `train` raises."""
    base = apply_overrides(load_preset("demo"), [f"data.vocab_size={data.vocab_size}", *size.changes])
    arms = []
    for name, fill, threads in _ARMS:
        counting = _count_seconds(data, base.memory.max_order, threads) if threads else 0.0
        config = apply_overrides(
            base,
            [
                "model.memory_input=0",
                f'memory.fill="{fill}"',
                f"train.max_seconds={max(size.seconds - counting, 0.1):.3f}",
            ],
        )
        arms.append({"arm": name, "count_seconds_ahead": counting, **_arm(config, data, progress, name)})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    machine = {"device": str(device), "dtype": str(compute_dtype(device))}
    compiled = base.train.compile == "on"
    return {
        **about(data, **machine, compiled=compiled), "seconds": size.seconds, "config": msgspec.to_builtins(base),
        "arms": arms,
    }  # fmt: skip


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Of each arm: bits per byte of mixture and memory, tokens counted and seen, seconds of counting."""
    return {arm["arm"]: {key: value for key, value in arm.items() if key != "arm"} for arm in found["arms"]}


def _count_seconds(data: Dataset, order: int, threads: int) -> float:
    """What counting the training text takes, the second time: the first fetches compiled code."""
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        counts = NgramCounts(data.vocab_size, order, bos_id=data.tokenizer.bos_id, threads=threads)
        counts.add(np.asarray(data.train_tokens))
        seconds = time.perf_counter() - started
    return seconds


def _arm(config: Config, data: Dataset, progress: Progress, name: str) -> dict[str, Any]:
    progress.log(f"arm: {name}")
    with tempfile.TemporaryDirectory(prefix="regrow-bench-prefill-") as folder:
        run = train(config, data, Path(folder), progress=progress)
        scored = evaluate(run.artifact, data.val_bytes, progress=progress)
    result = run.result
    return {
        "bpb": scored.bpb.blended, "memory_bpb": scored.bpb.memory, "neural_bpb": scored.bpb.neural,
        "memory_bytes": scored.bytes["memory"], "train_seconds": result.seconds.train,
        "tokens_seen": result.train_tokens_seen, "count_seconds": result.seconds.memory_count,
        "score_seconds": result.seconds.memory_score,
    }  # fmt: skip
