"""`regrow bench ngram`: the n-gram memory beside KenLM and tokengrams, on the same tokens in one run."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dated import Found, about
from benchmarks.dated import Size as AnySize
from benchmarks.peers import Cost, kenlm_missing, run_child, run_kenlm, run_tokengrams, write_tokens
from regrow.core.config.schema import EvalConfig
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.data.tokenizer import Tokenizer
from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.discount_fit import tune_discounts
from regrow.ngram.model.kneser_ney import Discounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.model.scoring import text_bits
from regrow.ngram.store.text_form import encode_tokens
from regrow.predict.adaptive.first_stage import StepInputs
from regrow.predict.adaptive.online_mixer import OnlineMixer
from regrow.predict.lockstep import IGNORED, split_streams, stream_count
from regrow.training.batches import Plan

ORDER = 6
LONG_ORDER = 8  # of the memory that is stored as text, where a longer order costs no bytes
SEED = 1
_LEFT_OUT = 0.1
_REPEATS = 3
_CHUNK = 8192
_BATCH = 65_536
_STEPS = 64  # lock-steps whose rows are made at a time


@dataclass(frozen=True)
class Size(AnySize):
    """`stream_tokens`: tokens added one batch after the other, below a cap of `cap_bytes`."""

    stream_tokens: int = 100_000_000
    cap_bytes: int = 4_000_000_000


SIZES = {"": Size(1024)}


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
    """Everything that `regrow bench ngram` tells. Peers that are not installed are left out, with a word."""
    missing = kenlm_missing()
    if missing:
        progress.log(
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
    with progress.task(f"add {size.stream_tokens:,} tokens"):
        growing = growth(
            train, NgramCounts(data.vocab_size, ORDER, size.cap_bytes, bos_id=bos), size.stream_tokens
        )
    return {
        **about(data),
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
                adapting = adapting_bits(model, val, data.tokenizer)
            found["long"] = {"order": order, **figures, "bpb_adapting": adapting / size}
    return found


def fit_discounts(data: Dataset, counts: NgramCounts) -> list[Discounts]:
    """Discounts fitted to a tenth of the training documents, chosen by `SEED`, under the counts of the others."""
    part = Plan.of(data, seq_len=512, share=_LEFT_OUT, folds=1, seed=SEED).folds[0]
    own = NgramCounts(data.vocab_size, counts.max_order, bos_id=data.tokenizer.bos_id)
    own.add(part.text)
    return tune_discounts(counts.subtract(own), part.text, seed=SEED)


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


def growth(tokens: NDArray[np.integer[Any]], counts: NgramCounts, total: int) -> dict[str, float]:
    """Microseconds per token while a stream of `total` tokens with the statistics of `tokens` is added to `counts`.

    The stream is made of snippets of random place and length (8 tokens on average), so long n-grams keep being new.
    The first hundredth is compared with the last tenth.
    """
    rng = np.random.Generator(np.random.PCG64(SEED))
    added, seconds, first, last, last_from = 0, 0.0, math.nan, 0.0, 0
    while added < total:
        batch = _snippets(tokens, rng, _BATCH, counts.bos_id)
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
        "bytes": counts.nbytes, "error_bound": max(counts.error_bound(n) for n in range(1, counts.max_order + 1)),
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


def adapting_bits(model: NgramModel, tokens: NDArray[np.integer[Any]], tokenizer: Tokenizer) -> float:
    """Bits of the tokens under the model, recent counts and the online mixer, in the streams of `eval.adapt_streams`.

    Every distribution is fixed before its token is counted; nothing but the text before is learned from.
    """
    defaults = EvalConfig()
    streams = stream_count(len(tokens), defaults.adapt_streams)
    tokens_ST = split_streams(tokens, streams)
    mixer = OnlineMixer(streams, tokenizer.token_bytes, defaults.adapt_orders, defaults.adapt_tokens)
    width, bos_id = model.max_order - 1, tokenizer.bos_id
    known_ST = np.where(tokens_ST == IGNORED, bos_id, tokens_ST)
    begun_ST = np.concatenate((np.full((streams, 1), bos_id, np.int64), known_ST), axis=1)
    nats = 0.0
    for first in range(0, tokens_ST.shape[1], _STEPS):
        stop = min(first + _STEPS, tokens_ST.shape[1])
        contexts = np.concatenate(
            [contexts_of(stream, width, bos_id, start=first + 1, stop=stop + 1) for stream in begun_ST]
        )
        rows = model.rows(contexts)
        shape = (streams, stop - first, model.vocab_size)
        memory_STV = np.log(rows.probs_RV).reshape(shape)
        order_ST = np.ascontiguousarray(rows.matched_order_R, np.int32).reshape(shape[:2])
        inputs = StepInputs(memory_STV, np.zeros(shape, np.float32), memory_STV, order_ST)
        nats += float(mixer.score(inputs, tokens_ST[:, first:stop]).sum())
    return nats / math.log(2)
