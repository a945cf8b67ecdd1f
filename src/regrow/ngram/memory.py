"""The kinds of memory a config can ask for, behind one pair of functions: counts to fill, and a model to ask."""

from __future__ import annotations

from typing import TypeAlias, cast

from regrow.core.config.schema import MemoryConfig
from regrow.ngram.counts.hashed_counts import HashedCounts
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.hashed_model import HashedModel
from regrow.ngram.model.ngram_model import NgramModel

Memory: TypeAlias = NgramModel | HashedModel


def new_counts(
    config: MemoryConfig, vocab_size: int, *, bos_id: int, threads: int | None = None
) -> NgramCounts:
    """Empty counts of the config's kind.

    Those of a hashed memory are typed as the exact ones: what fills, subtracts and hashes counts asks the same of both.
    """
    if config.kind == "hashed":
        return cast(NgramCounts, HashedCounts(vocab_size, config.max_order, config.buckets))
    return NgramCounts(vocab_size, config.max_order, bos_id=bos_id, threads=threads)


def model_of(counts: NgramCounts | HashedCounts) -> Memory:
    """The model that predicts with these counts."""
    if isinstance(counts, HashedCounts):
        return HashedModel.from_counts(counts)
    return NgramModel.from_counts(counts)


def hashed_counts(counts: object) -> HashedCounts | None:
    """`counts` if they are of the hashed kind, else None."""
    return counts if isinstance(counts, HashedCounts) else None
