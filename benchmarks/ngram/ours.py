"""Ours: building in a process of its own, rows a second, and what adding costs as counts grow."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ngram.child import Cost, run_child
from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel

_CHUNK = 8192
_BATCH = 65_536

# The seconds are those of the work: reading the tokens, counting, estimating. Starting Python, importing, and
# fetching compiled code (the short build before) is not the method, and lmplz has no such start.
_BUILD = """
import sys, time
import numpy as np
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
def build(tokens):
    counts = NgramCounts(int(sys.argv[2]), int(sys.argv[3]), bos_id=int(sys.argv[4]))
    counts.add(tokens)
    return NgramModel.from_counts(counts)
build(np.load(sys.argv[1], mmap_mode="r")[:400_000])
started = time.perf_counter()
model = build(np.load(sys.argv[1]))
print('{"seconds": %r, "ngrams": %d}' % (time.perf_counter() - started, len(model.trie.succ_token_E)))
"""


def build_in_child(scratch: Path, tokens: Path, vocab_size: int, order: int, bos_id: int) -> tuple[Cost, int]:
    """Count and estimate orders 1..`order` of a .npy of tokens; the cost, and n-grams of orders 2 and up."""
    out = scratch / "ours.json"
    whole = run_child([sys.executable, "-c", _BUILD, tokens, str(vocab_size), str(order), str(bos_id)], out)
    said = json.loads(out.read_text())
    return Cost(said["seconds"], whole.peak_bytes), said["ngrams"]


def rows_per_second(model: NgramModel, tokens: NDArray[np.integer[Any]], bos_id: int) -> float:
    """Full distributions a second after every prefix of a text, in chunks."""
    text = np.concatenate(([bos_id], tokens)).astype(np.int64)
    out = np.empty((_CHUNK, model.vocab_size), np.float32)
    seconds = 0.0
    for start in range(1, len(text), _CHUNK):
        stop = min(start + _CHUNK, len(text))
        contexts = contexts_of(text, model.max_order - 1, bos_id, start=start, stop=stop)
        started = time.perf_counter()
        model.probs(contexts, out[: stop - start])
        seconds += time.perf_counter() - started
    return len(tokens) / seconds


def growth(
    tokens: NDArray[np.integer[Any]],
    vocab_size: int,
    order: int,
    bos_id: int,
    total: int,
    cap_bytes: int,
    seed: int,
) -> dict[str, float]:
    """Microseconds a token while a stream of `total` tokens with the statistics of `tokens` is added in batches.

    The stream is made of snippets of random place and length (8 tokens on average), so long n-grams keep being new.
    The first hundredth is compared with the last tenth.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    counts = NgramCounts(vocab_size, order, cap_bytes, bos_id)
    added, seconds, first, last, last_from = 0, 0.0, math.nan, 0.0, 0
    while added < total:
        batch = _snippets(tokens, rng, _BATCH, bos_id)
        started = time.perf_counter()
        counts.add(batch)
        taken = time.perf_counter() - started
        seconds, added = seconds + taken, added + len(batch)
        if added >= total / 100 and math.isnan(first):
            first = seconds / added
        if added > total * 0.9:
            last_from = last_from or added - len(batch)
            last += taken
    final = last / (added - last_from)
    return {
        "tokens": added, "first_hundredth_us": 1e6 * first, "last_tenth_us": 1e6 * final,
        "mean_us": 1e6 * seconds / added, "ratio_mean": seconds / added / first, "ratio": final / first,
        "bytes": counts.nbytes, "error_bound": max(counts.error_bound(n) for n in range(1, order + 1)),
    }  # fmt: skip


def _snippets(
    tokens: NDArray[np.integer[Any]], rng: np.random.Generator, size: int, bos_id: int
) -> NDArray[np.integer[Any]]:
    lengths = rng.geometric(1 / 8, size // 4)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), size))]
    starts = rng.integers(0, len(tokens) - int(lengths.max(initial=1)), len(lengths))
    offset = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    picked = tokens[np.repeat(starts, lengths) + offset]
    kept: NDArray[np.integer[Any]] = picked[picked != bos_id]
    return kept
