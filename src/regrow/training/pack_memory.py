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
from regrow.ngram.store.text_form import encode_tokens
from regrow.training.memory import TrainingMemory

_SHRINK = 0.97  # a text too long for its room is cut to fit in proportion, and a little more
_TRIES = 4
_JUDGED = 200_000  # tokens of left-out text that the two forms are judged on
# Seconds to load a memory on two cores (dev/LOG.md, 2026-11-24): each token of a text, each n-gram of a table.
_TEXT_LOAD = 1.7e-6
_TABLE_LOAD = 0.6e-6

Tokens: TypeAlias = NDArray[np.integer[Any]]
Worth: TypeAlias = Callable[[Grams, Sequence[Discounts]], Adjust]  # of a table's n-grams, for its pruning


def stored_memory(
    config: Config,
    data: Dataset,
    memory: TrainingMemory | None,
    room: int,
    worth: Worth | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[bytes, str]:
    """The memory's stored form within `room` bytes, and the SHA-256 of its counts. Empty where there is no memory.

    `memory.stored = "auto"`: the whole text if it fits and loads within `pack.load_seconds`, for nothing can hold more
    than that; else of a text cut at its end and a table, both such as fit and load in time, the one that better
    predicts text left out of its counts (the last twentieth). A table is pruned by what its n-grams are worth, which
    `worth` may put beside a network. The hash is of the counts before any pruning. `say` hears what the time cost.
    Raises BudgetError if nothing worth storing fits.
    """
    if memory is None:
        return b"", ""
    counted = memory.counts
    if isinstance(counted, HashedCounts):
        stored = counted.to_bytes()
        if len(stored) > room:
            raise BudgetError(
                f"pack.budget_bytes = {config.pack.budget_bytes:,}: leaves {room:,} bytes for the memory, and its "
                f"hashed tables take {len(stored):,}; raise it or lower memory.buckets."
            )
        return stored, counted.sha256()
    assert isinstance(counted, NgramCounts)
    form = config.memory.stored
    tokens = np.asarray(data.train_tokens) if config.memory.fill == "ahead" else memory.seen_text()
    limit = config.pack.load_seconds if form == "auto" else 0
    in_time = int(limit / _TEXT_LOAD) if limit else len(tokens)
    most = int(limit / _TABLE_LOAD) if limit else None
    text = fit_text(tokens[:in_time], data, room) if form != "table" else None
    if form == "auto":
        if in_time < len(tokens):
            say(
                f"the whole text would load in about {len(tokens) * _TEXT_LOAD:.0f} s, pack.load_seconds = {limit:g}: "
                "storing what loads in time (0 for any time)"
            )
        fits = len(text[1]) if text is not None else 0
        form = "text" if fits == len(tokens) else _better_form(config, data, memory, tokens, fits, room, most)
    if form == "table":
        counts = _counts_of(config, data, tokens) if config.memory.fill != "ahead" else counted
        try:
            model = NgramModel.from_counts(counts, discounts=memory.discounts)
            grams = grams_of(counts)
            adjust = worth(grams, model.discounts) if worth is not None else None
            return fit_table(grams, model.discounts, room, max_ngrams=most, adjust=adjust), counts.sha256()
        except NgramError as error:
            raise _no_room(config, room) from error
    if text is None:
        raise _no_room(config, room)
    stored, kept = text
    cut = len(kept) < len(tokens) or config.memory.fill != "ahead"
    return stored, (_counts_of(config, data, kept) if cut else counted).sha256()


def fit_text(tokens: Tokens, data: Dataset, room: int) -> tuple[bytes, Tokens] | None:
    """The text form of as many of the first tokens as fit into `room` bytes, and those; None if hardly any do."""
    whole = len(tokens)
    for _ in range(_TRIES):
        stored = encode_tokens(tokens.astype(np.uint16, copy=False), data.vocab_size)
        if len(stored) <= room:
            return stored, tokens
        tokens = tokens[: int(len(tokens) * room / len(stored) * _SHRINK)]
        if len(tokens) < whole // 100:
            break
    return None


def _better_form(
    config: Config,
    data: Dataset,
    memory: TrainingMemory,
    tokens: Tokens,
    fits: int,
    room: int,
    most: int | None,
) -> Literal["table", "text"]:
    """Which form, made of all but the last twentieth, predicts that in fewer bits.

    `fits`: tokens that the text can hold; `most`: n-grams that the table can.
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
        table = decode_table(fit_table(grams, model.discounts, room, max_ngrams=most))
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


def _no_room(config: Config, room: int) -> BudgetError:
    return BudgetError(
        f"pack.budget_bytes = {config.pack.budget_bytes:,}: leaves {room:,} bytes for the memory, too few to store."
    )
