"""Functions that the tests run in every process of a group (see `tests.e2e.forks`): they print one JSON line each."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from regrow.core.dist import process_group
from regrow.ngram.counts.merge_processes import count_piece, merge_range, whole_of
from regrow.ngram.counts.ngram_counts import NgramCounts


def merged_counts(seed: int, length: int, vocab: int, order: int, cap: int) -> None:
    """What a text's counts are when the processes count a piece each, and what merging them cost."""
    rng = np.random.Generator(np.random.PCG64(seed))
    tokens = np.minimum(rng.geometric(0.05, length) + 1, vocab - 1).astype(np.uint16)
    tokens[rng.random(length) < 0.02] = 1
    with process_group() as group:
        counts = NgramCounts(vocab, order, bos_id=1, cap_bytes=cap)
        count_piece(counts, tokens, group)
        before = group.traffic.bytes
        part = merge_range(counts, group)
        sent = group.traffic.bytes - before
        whole = whole_of(part, group, cap_bytes=cap)
        sizes = [len(part.windows(n)) for n in range(1, order + 1)]
        _tell(group.rank, sha256=whole.sha256(), total=whole.total, sent=sent, own=counts.nbytes, sizes=sizes)


def _tell(rank: int, **facts: Any) -> None:
    print(json.dumps({"rank": rank, **facts}), flush=True)
