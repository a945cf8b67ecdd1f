"""The bench itself: peers and ours one after the other on the same tokens, and what comes of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.dated import this_machine, today, version
from benchmarks.ngram.adapting import adapting_bits
from benchmarks.ngram.child import Cost
from benchmarks.ngram.ours import build_in_child, growth, rows_per_second
from benchmarks.ngram.peers import kenlm_missing, run_kenlm, run_tokengrams, write_tokens
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.discount_fit import tune_discounts
from regrow.ngram.model.kneser_ney import Discounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.model.scoring import text_bits
from regrow.ngram.store.text_form import encode_tokens
from regrow.training.batches import Plan

VOCAB_SIZE = 1024
ORDER = 6
LONG_ORDER = 8  # of the memory that is stored as text, where a longer order costs no bytes
SEED = 1
STREAM_TOKENS = 100_000_000
CAP_BYTES = 4_000_000_000
_LEFT_OUT = 0.1
_REPEATS = 3


def measure(data: Dataset, progress: Progress, *, stream_tokens: int = STREAM_TOKENS) -> dict[str, Any]:
    """Everything that `regrow bench ngram` tells. Peers that are not installed are left out, with a word."""
    missing = kenlm_missing()
    if missing:
        progress.say(
            f"KenLM's {', '.join(missing)} not found on the path: its figures are left out "
            "(build github.com/kpu/kenlm and put its programs on the path)"
        )
    train, bos = np.asarray(data.train_tokens), data.tokenizer.bos_id
    with tempfile.TemporaryDirectory(prefix="regrow-bench-ngram-") as folder:
        scratch = Path(folder)
        np.save(scratch / "train.npy", train)
        ours, ngrams = Cost(float("inf"), 0), 0
        with progress.task(f"build orders 1-{ORDER}, {_REPEATS} times"):
            for _ in range(_REPEATS):
                once, ngrams = build_in_child(scratch, scratch / "train.npy", data.vocab_size, ORDER, bos)
                ours = Cost(min(ours.seconds, once.seconds), max(ours.peak_bytes, once.peak_bytes))
        kenlm = None
        if not missing:
            with progress.task("KenLM: estimate, store, score"):
                write_tokens(scratch / "train.txt", train, bos)
                write_tokens(scratch / "val.txt", np.asarray(data.val_tokens), bos)
                kenlm = run_kenlm(scratch, scratch / "train.txt", scratch / "val.txt", ORDER)
        with progress.task("tokengrams: build"):
            index = run_tokengrams(scratch, train, data.vocab_size)
    quality = _quality(data, progress)
    with progress.task(f"add {stream_tokens:,} tokens"):
        growing = growth(train, data.vocab_size, ORDER, bos, stream_tokens, CAP_BYTES, SEED)
    return {
        "date": today(), "version": version(),
        "machine": this_machine(torch.device("cpu"), torch.float32, compiled=True),
        "text": {**data.counts, "vocab_size": data.vocab_size},
        "ours": {"seconds": ours.seconds, "peak_bytes": ours.peak_bytes, "ngrams": ngrams, **quality},
        "kenlm": None if kenlm is None else {
            "estimate_seconds": kenlm.estimate.seconds, "estimate_peak_bytes": kenlm.estimate.peak_bytes,
            "store_seconds": kenlm.store.seconds, "store_peak_bytes": kenlm.store.peak_bytes,
            "trie_bytes": kenlm.trie_bytes, "ngrams": kenlm.ngrams, "bpb": kenlm.bits / len(data.val_bytes),
        },
        "tokengrams": None if index is None else {"seconds": index.seconds, "peak_bytes": index.peak_bytes},
        "growth": growing,
    }  # fmt: skip


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """The keys that scripts rely on; a ratio is peer over ours, so larger is better."""
    ours, kenlm, index = found["ours"], found["kenlm"], found["tokengrams"]
    long = ours["long"]
    return {
        "build_seconds": ours["seconds"],
        "build_ratio": kenlm and kenlm["estimate_seconds"] / ours["seconds"],
        "peak_memory_ratio": kenlm and kenlm["estimate_peak_bytes"] / ours["peak_bytes"],
        "bytes": ours["text_bytes"],
        "bytes_ratio": kenlm and kenlm["trie_bytes"] / ours["text_bytes"],
        "bpb": ours["bpb"],
        "peer_bpb": kenlm and kenlm["bpb"],
        "memory_bpb_at_14mb": long["bpb"] if ours["text_bytes"] <= 14_000_000 else None,
        "rows_per_second": ours["rows_per_second"],
        "bpb_estimated_discounts": ours["bpb_estimated"],
        "memory_bpb_adapting": long["bpb_adapting"],
        "tokengrams_ratio": index and index["seconds"] / ours["seconds"],
        "added_token_ratio": found["growth"]["ratio"],
    }


def _quality(data: Dataset, progress: Progress) -> dict[str, Any]:
    """Bits per byte of the order that peers use and of a longer one, discounts estimated and fitted; the text form."""
    train, bos, size = np.asarray(data.train_tokens), data.tokenizer.bos_id, len(data.val_bytes)
    val = np.asarray(data.val_tokens)
    with progress.task("store the text"):
        stored = encode_tokens(train, data.vocab_size)
    found: dict[str, Any] = {"text_bytes": len(stored)}
    for order in (ORDER, LONG_ORDER):
        with progress.task(f"score with order {order}"):
            counts = NgramCounts(data.vocab_size, order, bos_id=bos)
            counts.add(train)
            fitted = fit_discounts(data, counts)
            model = NgramModel.from_counts(counts, discounts=fitted)
            bits = text_bits(model, val, bos)
        figures = {"bpb": bits / size, "discounts": fitted}
        if order == ORDER:
            estimated = text_bits(NgramModel.from_counts(counts), val, bos)
            speed = rows_per_second(model, val, bos)
            found |= {**figures, "bpb_estimated": estimated / size, "rows_per_second": speed}
        else:
            with progress.task(f"score with order {order}, learning from the text"):
                adapting = adapting_bits(model, val, bos)
            found["long"] = {"order": order, **figures, "bpb_adapting": adapting / size}
    return found


def fit_discounts(data: Dataset, counts: NgramCounts) -> list[Discounts]:
    """Discounts fitted to a tenth of the training documents, chosen by `SEED`, under the counts of the others."""
    part = Plan.of(data, seq_len=512, share=_LEFT_OUT, folds=1, seed=SEED).folds[0]
    own = NgramCounts(data.vocab_size, counts.max_order, bos_id=data.tokenizer.bos_id)
    own.add(part.text)
    return tune_discounts(counts.subtract(own), part.text, seed=SEED)
