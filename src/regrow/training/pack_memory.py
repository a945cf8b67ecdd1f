"""Which form of the memory an artifact holds, the text or a table of its n-grams: within bytes and load time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from regrow.core.config.schema import Config
from regrow.core.errors import BudgetError, NgramError
from regrow.data.dataset import Dataset
from regrow.ngram.counts.hashed_counts import HashedCounts
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.kneser_ney import Discounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.model.scoring import text_bits
from regrow.ngram.store.linked_ngrams import Grams, grams_of
from regrow.ngram.store.table_budget import Adjust, fit_table
from regrow.ngram.store.table_form import decode_table
from regrow.ngram.store.text_form import LOAD_SECONDS, encode_within
from regrow.training.memory import TrainingMemory

_SHRINK = 0.97  # a text too long for the bytes left is cut to fit in proportion, and a little more
_TRIES = 4
_JUDGED = 200_000  # tokens of left-out text that the two forms are judged on
_TABLE_LOAD = 0.6e-6  # seconds of each n-gram of a table, on two cores (dev/LOG.md, 2026-11-24)

Tokens: TypeAlias = NDArray[np.integer[Any]]
PruningWeights: TypeAlias = Callable[[Grams, Sequence[Discounts]], Adjust]  # of a table's n-grams


def stored_memory(
    config: Config,
    data: Dataset,
    memory: TrainingMemory | None,
    bytes_left: int,
    weights: PruningWeights | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> tuple[bytes, str]:
    """The memory's stored form within `bytes_left`, and the SHA-256 of its counts. Empty where there is no memory.

    `memory.stored = "auto"`: the whole text if it fits and loads within `pack.load_seconds`, for nothing can hold more
    than that; else of a text cut at its end and a table, both such as fit and load in time, the one that better
    predicts text left out of its counts (the last twentieth). A table is pruned by
    its n-grams' pruning weights, which `weights` may adjust to a network. The hash is of the counts before any pruning.
    `log` gets a line where the time limit costs bytes.
    Raises BudgetError if nothing useful fits.
    """
    if memory is None:
        return b"", ""
    counted = memory.counts
    if isinstance(counted, HashedCounts):
        stored = counted.to_bytes()
        if len(stored) > bytes_left:
            raise BudgetError(
                f"pack.budget_bytes = {config.pack.budget_bytes:,}: leaves {bytes_left:,} bytes for the memory, and "
                f"its hashed tables take {len(stored):,}; set it to at least "
                f"{config.pack.budget_bytes + len(stored) - bytes_left} or lower memory.buckets."
            )
        return stored, counted.sha256()
    assert isinstance(counted, NgramCounts)
    form = config.memory.stored
    tokens = np.asarray(data.train_tokens) if config.memory.fill == "ahead" else memory.seen_text()
    limit = config.pack.load_seconds if form == "auto" else 0
    in_time = int(limit / LOAD_SECONDS) if limit else len(tokens)
    max_ngrams = int(limit / _TABLE_LOAD) if limit else None
    text = fit_text(tokens[:in_time], data, bytes_left) if form != "table" else None
    if form == "auto":
        if in_time < len(tokens):
            log(
                f"the whole text would load in about {len(tokens) * LOAD_SECONDS:.0f} s, pack.load_seconds = "
                f"{limit:g}: storing what loads in time (0 for any time)"
            )
        fits = len(text[1]) if text is not None else 0
        form = (
            "text"
            if fits == len(tokens)
            else _better_form(config, data, memory, tokens, fits, bytes_left, max_ngrams)
        )
    if form == "table":
        counts = _counts_of(config, data, tokens) if config.memory.fill != "ahead" else counted
        try:
            model = NgramModel.from_counts(counts, discounts=memory.discounts)
            grams = grams_of(counts)
            adjust = weights(grams, model.discounts) if weights is not None else None
            return fit_table(
                grams, model.discounts, bytes_left, max_ngrams=max_ngrams, adjust=adjust
            ), counts.sha256()
        except NgramError as error:
            raise _too_few_bytes(config, bytes_left) from error
    if text is None:
        raise _too_few_bytes(config, bytes_left)
    stored, kept = text
    cut = len(kept) < len(tokens) or config.memory.fill != "ahead"
    return stored, (_counts_of(config, data, kept) if cut else counted).sha256()


def fit_text(tokens: Tokens, data: Dataset, bytes_left: int) -> tuple[bytes, Tokens] | None:
    """The text form of as many of the first tokens as fit into `bytes_left` bytes, and those; None if hardly any do."""
    whole = len(tokens)
    for _ in range(_TRIES):
        stored = encode_within(tokens.astype(np.uint16, copy=False), data.vocab_size, bytes_left)
        if len(stored) <= bytes_left:
            return stored, tokens
        tokens = tokens[: int(len(tokens) * bytes_left / len(stored) * _SHRINK)]
        if len(tokens) < whole // 100:
            break
    return None


def _better_form(
    config: Config,
    data: Dataset,
    memory: TrainingMemory,
    tokens: Tokens,
    fits: int,
    bytes_left: int,
    max_ngrams: int | None,
) -> Literal["table", "text"]:
    """Which form, made of all but the last twentieth, predicts that in fewer bits.

    `fits`: tokens that the text can hold; `max_ngrams`: n-grams that the table can.
    """
    if not fits:
        return "table"
    split = len(tokens) * 19 // 20
    heads = np.flatnonzero(tokens[split:] == data.tokenizer.bos_id)
    split += int(heads[0]) if len(heads) else 0
    rest = tokens[split : split + _JUDGED]
    counts = _counts_of(config, data, tokens[:split])
    model = NgramModel.from_counts(counts, discounts=memory.discounts)
    grams = grams_of(counts)
    try:
        table = decode_table(fit_table(grams, model.discounts, bytes_left, max_ngrams=max_ngrams))
    except NgramError:
        return "text"
    text = NgramModel.from_counts(
        _counts_of(config, data, tokens[: min(fits, split)]), discounts=memory.discounts
    )
    bos = data.tokenizer.bos_id
    return "table" if text_bits(table, rest, bos) < text_bits(text, rest, bos) else "text"


def _counts_of(config: Config, data: Dataset, tokens: Tokens) -> NgramCounts:
    counts = NgramCounts(data.vocab_size, config.memory.max_order, bos_id=data.tokenizer.bos_id)
    counts.add(tokens)
    return counts


def _too_few_bytes(config: Config, bytes_left: int) -> BudgetError:
    return BudgetError(
        f"pack.budget_bytes = {config.pack.budget_bytes:,}: leaves {bytes_left:,} bytes for the memory, too few to "
        "store."
    )
