"""An artifact of a memory alone, from texts: tokenizer, counts, and their stored form within a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regrow.artifact.ledger import Ledger
from regrow.artifact.stored import store_memory
from regrow.core.config.schema import Config, DataConfig, MemoryConfig, PackConfig
from regrow.core.errors import BudgetError, DataError, NgramError, TokenizerError
from regrow.core.progress import Progress, Silent
from regrow.data.documents import Texts
from regrow.data.tokenizer import Tokenizer
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store.linked_ngrams import grams_of
from regrow.ngram.store.table_budget import fit_table
from regrow.ngram.store.text_form import LOAD_SECONDS, encode_within

_MANIFEST_BYTES = 6000


def build_memory_artifact(
    path: Path,
    texts: Texts,
    *,
    order: int,
    vocab_size: int,
    budget_bytes: int,
    progress: Progress | None = None,
) -> Ledger:
    """Write an artifact at `path` that predicts with n-grams of up to `order` tokens, estimated from `texts`.

    Stores the whole text where that fits the budget and loads within `pack.load_seconds`, for nothing holds more; else
    its n-grams, the least telling left out. `vocab_size`: tokens, 257 for bytes alone. Raises
    DataError for no text, TokenizerError for a vocabulary it does not give, BudgetError.
    """
    progress = progress or Silent()
    if not texts.total_bytes:
        raise DataError("the text is empty; give it some.")
    with progress.task("tokenizer"):
        try:
            tokenizer = Tokenizer([]) if vocab_size == 257 else Tokenizer.train(texts, vocab_size)
        except TokenizerError as error:  # it speaks of a config's key
            raise TokenizerError(str(error).replace("data.vocab_size", "the vocabulary (--vocab)")) from error
    bos = np.array([tokenizer.bos_id], np.uint16)
    parts = []
    with progress.task("encode", texts.total_bytes, "bytes") as task:
        for text in texts:
            parts += [bos, tokenizer.encode(text)]
            task.advance(len(text))
    tokens = np.concatenate(parts)
    config = Config(
        preset="ngram", data=DataConfig(vocab_size=vocab_size),
        memory=MemoryConfig(max_order=order, discounts="estimated"), pack=PackConfig(budget_bytes=budget_bytes),
    )  # fmt: skip
    with progress.task("count"):
        counts = NgramCounts(vocab_size, order, bos_id=tokenizer.bos_id)
        counts.add(tokens)
    with progress.task("pack"):
        left = budget_bytes - len(tokenizer.to_bytes()) - _MANIFEST_BYTES
        if left <= 0:
            raise BudgetError(
                f"{path}: the budget is {budget_bytes:,} bytes; tokenizer and manifest alone may take "
                f"{budget_bytes - left:,}; raise it."
            )
        stored = b""
        if len(tokens) * LOAD_SECONDS <= config.pack.load_seconds:
            stored = encode_within(tokens, vocab_size, left)
        if not 0 < len(stored) <= left:
            model = NgramModel.from_counts(counts)
            for note in model.notes:
                progress.log(note)
            try:
                stored = fit_table(grams_of(counts), model.discounts, left, log=progress.log)
            except NgramError as error:
                raise BudgetError(f"a budget of {budget_bytes:,} bytes is too small: {error}.") from error
        return store_memory(path, config, tokenizer, stored, counts.sha256())
