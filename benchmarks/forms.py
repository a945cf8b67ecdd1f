"""The two stored forms of the n-gram memory at the same bytes: what they take, load and predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any

import numpy as np

from benchmarks.dated import Found, Size, about
from benchmarks.ngram import fit_discounts
from benchmarks.timing import timed
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.kneser_ney import Discounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.model.scoring import text_bits
from regrow.ngram.store.linked_ngrams import grams_of
from regrow.ngram.store.table_budget import fit_table
from regrow.ngram.store.table_form import decode_table
from regrow.ngram.store.text_form import decode_tokens
from regrow.training.pack_memory import fit_text

SIZES = {"": Size(1024)}
ORDER = 6
ALLOWANCES = (1_000_000, 2_000_000, 4_000_000, 8_000_000, 14_000_000)
WHOLE = 1_000_000_000  # nothing is pruned


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
    """Both forms at `ALLOWANCES` and whole, with discounts fitted to documents left out."""
    counts = NgramCounts(data.vocab_size, ORDER, bos_id=data.tokenizer.bos_id)
    counts.add(np.asarray(data.train_tokens))
    discounts = fit_discounts(data, counts)
    return {**about(data), "rows": measure_forms(data, (*ALLOWANCES, WHOLE), progress, counts, discounts)}


def summary(found: Found) -> dict[str, Any]:
    """A table by form and allowance."""
    told = {}
    for row in found["rows"]:
        name = f"{row['form']} {'whole' if row['allowance'] == WHOLE else row['allowance'] // 1_000_000}"
        told[name] = {key: row[key] for key in ("bytes", "load_seconds", "bpb", "entries")}
    return told


def measure_forms(
    data: Dataset,
    allowances: Sequence[int],
    progress: Progress,
    counts: NgramCounts,
    discounts: Sequence[Discounts] | None = None,
) -> list[Found]:
    """Both forms at each allowance of bytes, scored on the held-out text of `data`.

    The text is cut to fit, counted and estimated; the table holds the `counts` of the whole text, pruned to fit.
    `discounts` None: estimated from the counts. A row tells the `bytes` a form took, `load_seconds` from its bytes to
    a model, `bpb` of the model alone, its `entries` (n-grams of order 2 and up), and whether nothing was cut (`whole`).
    """
    tokens, bos = np.asarray(data.train_tokens), data.tokenizer.bos_id
    discounts = NgramModel.from_counts(counts, discounts=discounts).discounts
    grams, order = grams_of(counts), counts.max_order

    def counted(stored: bytes) -> NgramModel:
        again = NgramCounts(data.vocab_size, order, bos_id=bos)
        again.add(decode_tokens(stored))
        return NgramModel.from_counts(again, discounts=discounts)

    def row(form: str, stored: bytes, load: Callable[[bytes], NgramModel], kept: Sized = ()) -> Found:
        model, seconds = timed(lambda: load(stored))
        bpb = text_bits(model, np.asarray(data.val_tokens), bos) / len(data.val_bytes)
        entries = len(model.trie.succ_token_E)
        whole = entries == grams.entries if form == "table" else len(kept) == len(tokens)
        return {
            "form": form, "allowance": allowance, "bytes": len(stored), "load_seconds": seconds, "bpb": bpb,
            "entries": entries, "whole": whole,
        }  # fmt: skip

    rows = []
    with progress.task("stored forms", total=len(allowances), unit="allowance") as task:
        for allowance in allowances:
            stored = fit_table(grams, discounts, allowance, log=progress.log)
            rows.append(row("table", stored, decode_table))
            fitted = fit_text(tokens, data, allowance)
            if fitted is not None:
                rows.append(row("text", fitted[0], counted, fitted[1]))
            task.advance(1, bpb=rows[-1]["bpb"])
    return rows
