"""The published cache's score against its own sum over the vocabulary: `regrow bench published`.

The tables are filled with more and more: a growing share of the training text, all of it many times over (every pass
adds the same counts again) up to the number of counts of the published run, and constants that know nothing at all.
For each filling three figures at the same held-out positions: the published score of the token that came (not a
probability), Z, its sum over the vocabulary, and the honest score, divided by Z. Beside them the exact memory of the
same text.

The published design adds a network's probability. Here three stand-ins take that place: the uniform distribution, the
unigrams of the training text, and the exact memory; what the table does to the score shows with each.

Legend: R sampled positions, V vocabulary.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dated import Found, about
from benchmarks.dated import Size as AnySize
from regrow.core.errors import DataError
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts.hashed_counts import LARGEST_COUNT, PUBLISHED_BUCKETS, HashedCounts
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.hashed_model import HashedModel
from regrow.ngram.model.ngram_model import NgramModel

PUBLISHED_COUNTS = 31_142_393_856  # of the published run, in its log
STAND_INS = ("uniform", "unigrams", "exact memory")
_ROWS_AT_ONCE = 2048
_SEED = 1095

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Size(AnySize):
    """How large a run is. `parts`: a filling of 1 / part of the text for each; `passes`: over all of it;
    `constants`: what every bucket holds."""

    buckets: tuple[int, ...] = PUBLISHED_BUCKETS
    exact_order: int = 6
    positions: int = 16_384
    parts: tuple[int, ...] = (16, 8, 4, 2, 1)
    passes: tuple[int, ...] = (4, 16, 64)
    constants: tuple[int, ...] = (2, 100, PUBLISHED_COUNTS // sum(PUBLISHED_BUCKETS), LARGEST_COUNT)
    published_counts: int = PUBLISHED_COUNTS


FULL = Size(1024)
QUICK = Size(
    320, "quick", (4096, 8192, 8192, 4096, 2048, 2048), 4, 256, (4, 1), (8,), (2, LARGEST_COUNT), 100_000_000
)
SIZES = {"": FULL, "quick": QUICK}


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
    """Run the bench on `data`. Raises DataError for held-out text that is too short to sample from.

    A result's `fillings` are of `kind` "text" (a first `share` of the training text), "passes" (all of it, several
    times) or "constant" (every bucket holds it). `counts`: sum over all tables before clipping; `in_use`, `full`:
    shares of the buckets that hold anything, and 65,535. `scores`, by stand-in for the network: `published_bits`, bits
    per byte of the published score, *not a probability*; `z_*`, its sum over the vocabulary; `honest_bpb`, after
    dividing by that sum; `base_bpb`, of the stand-in alone. `exact_bpb`: of the exact memory of the same text.
    """
    started = time.perf_counter()
    bench = _Bench(data, size)
    fillings: list[Found] = []
    total = len(size.parts) + len(size.passes) + 1 + len(size.constants)
    with progress.task("fill and score", total) as task:
        for part in sorted(size.parts, reverse=True):
            fillings.append(bench.text(part))
            task.advance()
        counted = bench.counts
        grams = int(counted.tables_N.sum())
        for passes in sorted({*size.passes, max(1, round(size.published_counts / grams))}):
            last = passes > max(size.passes)
            fillings.append(bench.filling("passes", counted.repeated(passes), passes=passes, packed=last))
            task.advance()
        for constant in size.constants:
            filled = counted.filled(constant)
            fillings.append(bench.filling("constant", filled, constant=constant, packed=True))
            task.advance()
    return {
        **about(data, compiled=False), "size": size.name, "seconds": time.perf_counter() - started,
        "positions": len(bench.targets_R), "seed": _SEED, "vocab_size": data.vocab_size,
        "buckets": list(size.buckets), "exact_order": size.exact_order, "fillings": fillings,
    }  # fmt: skip


def label(filling: Found) -> str:
    """A filling as tables and pictures name it."""
    if filling["kind"] == "constant":
        return f"every bucket {filling['constant']:,}"
    if filling["kind"] == "passes":
        return f"all of the text, {filling['passes']} times"
    parts = round(1 / filling["share"])
    return "all of the text" if parts == 1 else f"1/{parts} of the text"


def summary(found: Found) -> dict[str, Any]:
    """By filling and stand-in: the published score, Z and the honest score."""
    return {
        "seconds": found["seconds"], "positions": found["positions"],
        "fillings": {
            label(filling): {
                "exact_memory_bpb": filling["exact_bpb"],
                **{
                    name: {
                        "published_bits_NOT_A_PROBABILITY": score["published_bits"],
                        "z": {key: score[f"z_{key}"] for key in ("mean", "min", "max")},
                        "honest_bpb": score["honest_bpb"], "stand_in_alone_bpb": score["base_bpb"],
                    }
                    for name, score in filling["scores"].items()
                },
            }
            for filling in found["fillings"]
        },
    }  # fmt: skip


class _Bench:
    """A run under way: the sampled positions, and the counts of the share of the text filled last."""

    def __init__(self, data: Dataset, size: Size) -> None:
        self.data, self.size = data, size
        self.tokens = np.asarray(data.train_tokens)
        held_out = np.asarray(data.val_tokens)
        if len(held_out) < 2:
            raise DataError(
                "bench published: the held-out text has fewer than 2 tokens; give --val more text."
            )
        width = max(len(size.buckets), size.exact_order - 1)
        generator = np.random.Generator(np.random.PCG64(_SEED))
        chosen = np.sort(generator.permutation(len(held_out))[: size.positions])
        self.contexts_RC = contexts_of(held_out, width, data.tokenizer.bos_id)[chosen]
        self.targets_R = held_out[chosen].astype(np.int64)
        self.tokens_per_byte = len(held_out) / len(data.val_bytes)
        vocab = data.vocab_size
        unigrams = np.bincount(self.tokens, minlength=vocab) + 1.0
        self.bases: dict[str, Rows] = {
            "uniform": np.full((1, vocab), 1 / vocab, np.float32),
            "unigrams": (unigrams / unigrams.sum()).astype(np.float32)[None],
        }
        self.counts = HashedCounts(vocab, len(size.buckets) + 1, size.buckets)

    def text(self, part: int) -> Found:
        """The first 1 / `part` of the training text, counted once, by the cache and by the exact memory."""
        wanted = len(self.tokens) // part
        before = self.counts.total
        back = len(self.size.buckets)
        self.counts.add(self.tokens[before:wanted], history=self.tokens[max(0, before - back) : before])
        exact = NgramCounts(self.data.vocab_size, self.size.exact_order, bos_id=self.data.tokenizer.bos_id)
        exact.add(self.tokens[:wanted])
        model = NgramModel.from_counts(exact)
        del exact
        parts = [model.probs(self.contexts_RC[rows]) for rows in self._chunks()]
        self.bases["exact memory"] = np.concatenate(parts)
        return self.filling("text", self.counts, share=1 / part, packed=part == 1)

    def filling(
        self, kind: str, counts: HashedCounts, *, share: float = 1.0, passes: int = 1, constant: int | None = None,
        packed: bool,
    ) -> Found:  # fmt: skip
        """Score one filling of the tables with every stand-in."""
        model = HashedModel(counts)
        scores = {name: self._score(model, self.bases[name]) for name in STAND_INS}
        nothing = kind == "constant"
        return {
            "kind": kind, "share": share, "passes": 0 if nothing else passes, "constant": constant,
            "tokens": 0 if nothing else counts.total, "counts": int(counts.tables_N.sum()),
            "in_use": float((model.tables_N > 0).mean()), "full": float((model.tables_N == LARGEST_COUNT).mean()),
            "stored_bytes": len(counts.to_bytes()) if packed else None,
            "exact_bpb": None if nothing else scores["exact memory"]["base_bpb"], "scores": scores,
        }  # fmt: skip

    def _score(self, model: HashedModel, base_BV: Rows) -> dict[str, float]:
        gold, sums, alone = [], [], []
        for rows in self._chunks():
            base = base_BV if len(base_BV) == 1 else base_BV[rows]
            targets = self.targets_R[rows]
            scores_RV = model.published_scores(self.contexts_RC[rows], base)
            at = np.arange(len(targets))
            gold.append(scores_RV[at, targets])
            sums.append(scores_RV.sum(axis=1))
            alone.append(base[at if len(base) > 1 else 0, targets].astype(np.float64))
        gold_R, z_R, base_R = (np.concatenate(x) for x in (gold, sums, alone))
        return {
            "published_bits": self._bpb(gold_R), "z_mean": float(z_R.mean()), "z_min": float(z_R.min()),
            "z_max": float(z_R.max()), "honest_bpb": self._bpb(gold_R / z_R), "base_bpb": self._bpb(base_R),
        }  # fmt: skip

    def _bpb(self, values_R: NDArray[np.float64]) -> float:
        return -float(np.log(values_R).mean()) / math.log(2) * self.tokens_per_byte

    def _chunks(self) -> list[slice]:
        return [slice(i, i + _ROWS_AT_ONCE) for i in range(0, len(self.targets_R), _ROWS_AT_ONCE)]
