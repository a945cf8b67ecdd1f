"""The kinds of memory a config can ask for: counts to fill, and the model to ask, each behind one type."""

from __future__ import annotations

from collections.abc import Sequence

from regrow.core.config.schema import MemoryConfig
from regrow.ngram.counts.hashed_counts import HashedCounts
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.counts.protocol import Counts
from regrow.ngram.model.hashed_model import HashedModel
from regrow.ngram.model.kneser_ney import Discounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.model.rows import Memory

__all__ = ["Counts", "Memory", "model_of", "new_counts"]


def new_counts(config: MemoryConfig, vocab_size: int, *, bos_id: int, threads: int | None = None) -> Counts:
    """Empty counts of the config's kind."""
    if config.kind == "hashed":
        return HashedCounts(vocab_size, config.max_order, config.buckets)
    return NgramCounts(vocab_size, config.max_order, bos_id=bos_id, threads=threads)


def model_of(
    counts: Counts, *, discounts: Sequence[Discounts] | None = None, threads: int | None = None
) -> Memory:
    """The model that predicts with these counts; `discounts` and `threads` as `NgramModel.from_counts` takes them."""
    if isinstance(counts, HashedCounts):
        return HashedModel(counts)
    assert isinstance(counts, NgramCounts)
    return NgramModel.from_counts(counts, discounts=discounts, threads=threads)
