"""The two stored forms of the n-gram memory at the same bytes: what they take, load and predict."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.dated import this_machine, today, version
from benchmarks.ngram.bench import fit_discounts
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

VOCAB_SIZE = 1024
ORDER = 6
ALLOWANCES = (1_000_000, 2_000_000, 4_000_000, 8_000_000, 14_000_000)
WHOLE = 1_000_000_000  # nothing is pruned


@dataclass(frozen=True)
class FormRow:
    """One form at one allowance. `bytes` it took; `load_seconds` from its bytes to a model; `bpb`: bits per byte of the
    held-out text, the model alone; `entries`: n-grams of order 2 and up in the model; `whole`: nothing was cut."""

    form: str
    allowance: int
    bytes: int
    load_seconds: float
    bpb: float
    entries: int
    whole: bool


def measure(data: Dataset, progress: Progress) -> dict[str, Any]:
    """Both forms at `ALLOWANCES` and the table unpruned, with discounts fitted to documents left out."""
    counts = NgramCounts(data.vocab_size, ORDER, bos_id=data.tokenizer.bos_id)
    counts.add(np.asarray(data.train_tokens))
    discounts = fit_discounts(data, counts)
    del counts
    rows = measure_forms(data, (*ALLOWANCES, WHOLE), progress, ORDER, discounts)
    return {
        "date": today(), "version": version(),
        "machine": this_machine(torch.device("cpu"), torch.float32, compiled=True),
        "text": {**data.counts, "vocab_size": data.vocab_size}, "rows": [dataclasses.asdict(row) for row in rows],
    }  # fmt: skip


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """A table a form and allowance."""
    told = {}
    for row in found["rows"]:
        name = f"{row['form']} {'whole' if row['allowance'] == WHOLE else row['allowance'] // 1_000_000}"
        told[name] = {key: row[key] for key in ("bytes", "load_seconds", "bpb", "entries")}
    return told


def measure_forms(
    data: Dataset,
    allowances: Sequence[int],
    progress: Progress,
    max_order: int = 6,
    discounts: Sequence[Discounts] | None = None,
) -> list[FormRow]:
    """Both forms at each allowance of bytes, scored on the held-out text of `data`.

    The text is cut to fit, counted and estimated; the table holds counts of the whole text, pruned to fit. `discounts`
    None: estimated from the counts.
    """
    tokens, bos = np.asarray(data.train_tokens), data.tokenizer.bos_id
    counts = NgramCounts(data.vocab_size, max_order, bos_id=bos)
    counts.add(tokens)
    discounts = NgramModel.from_counts(counts, discounts=discounts).discounts
    grams = grams_of(counts)
    del counts
    rows = []
    with progress.task("stored forms", total=2 * len(allowances), unit="form") as task:
        for allowance in allowances:
            stored = fit_table(grams, discounts, allowance, log=progress.say)
            started = time.perf_counter()
            model = decode_table(stored)
            seconds = time.perf_counter() - started
            rows.append(
                _row(
                    "table",
                    allowance,
                    stored,
                    seconds,
                    model,
                    len(model.trie.succ_token_E) == grams.entries,
                    data,
                )
            )
            task.advance(1, bpb=rows[-1].bpb)
            del model
            fitted = fit_text(tokens, data, allowance)
            if fitted is not None:
                started = time.perf_counter()
                again = NgramCounts(data.vocab_size, max_order, bos_id=bos)
                again.add(decode_tokens(fitted[0]))
                model = NgramModel.from_counts(again, discounts=discounts)
                seconds = time.perf_counter() - started
                del again
                rows.append(
                    _row("text", allowance, fitted[0], seconds, model, len(fitted[1]) == len(tokens), data)
                )
                del model
            task.advance(1, bpb=rows[-1].bpb)
    return rows


def _row(
    form: str, allowance: int, stored: bytes, seconds: float, model: NgramModel, whole: bool, data: Dataset
) -> FormRow:
    bpb = text_bits(model, np.asarray(data.val_tokens), data.tokenizer.bos_id) / len(data.val_bytes)
    return FormRow(form, allowance, len(stored), seconds, bpb, len(model.trie.succ_token_E), whole)
