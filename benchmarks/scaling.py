"""What one core counts and merges: `regrow bench scaling`. docs/scaling.md works out 8 and 64 GPUs from it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.dated import Found, Size, about
from benchmarks.timing import fastest
from regrow.core.config.load import load_preset
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.compute import keep_freed_pages
from regrow.network.transformer import Transformer
from regrow.ngram.counts.merge_processes import Chunk
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.counts.runs import merge_runs

SIZES = {"": Size(1024)}
ORDER = 6


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
    """Counting at growing sizes, and the pieces of a merge, on one core of this machine."""
    keep_freed_pages()
    tokens = np.asarray(data.train_tokens)

    def counted(piece: Any) -> NgramCounts:
        counts = NgramCounts(data.vocab_size, ORDER, bos_id=data.tokenizer.bos_id, threads=1)
        counts.add(piece)
        counts.windows(ORDER)
        return counts

    counted(tokens[:100_000])  # compiles
    sizes = []
    with progress.task("count", total=5, unit="size") as task:
        for share in (16, 8, 4, 2, 1):
            piece = tokens[: len(tokens) // share]
            counts, seconds = fastest(partial(counted, piece))
            sizes.append({"tokens": len(piece), "seconds": seconds, "keys": len(counts.windows(ORDER))})
            task.advance(1)
    a, b = (counted(half).windows(ORDER) for half in np.array_split(tokens, 2))
    _, merge_seconds = fastest(lambda: merge_runs(a, b))
    chunk, pack_seconds = fastest(lambda: Chunk.of(a))
    _, unpack_seconds = fastest(chunk.run)
    config = load_preset("published")
    named = dict(
        Transformer(config.model, config.data.vocab_size, config.train.seq_len, 1).named_parameters()
    )
    matrices = [
        p for name, p in named.items() if p.dim() == 2 and 1 not in p.shape and "embedding" not in name
    ]
    return {
        **about(data), "order": ORDER, "counting": sizes, "merge_keys_per_second": (len(a) + len(b)) / merge_seconds,
        "pack_keys_per_second": len(a) / pack_seconds, "unpack_keys_per_second": len(a) / unpack_seconds,
        "published_parameters": sum(p.numel() for p in named.values()),
        "published_matrix_parameters": sum(p.numel() for p in matrices),
    }  # fmt: skip


def summary(found: Found) -> dict[str, Any]:
    """Tokens counted a second at the largest size, and n-grams merged, packed and unpacked a second."""
    last = found["counting"][-1]
    rates = ("merge_keys_per_second", "pack_keys_per_second", "unpack_keys_per_second")
    return {"tokens_per_second": last["tokens"] / last["seconds"], **{key: found[key] for key in rates}}
