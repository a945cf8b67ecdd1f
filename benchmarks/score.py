"""The bench of `regrow score`: models of `regrow ngram build`, of order 5, beside KenLM's Python module.

regrow bench score                              lines of the State of the Union
regrow bench score --train FILE [--val FILE]    those of a text of yours (of FILE itself, a tenth held out)

Held-out lines come again until there are 100,000; they are scored one by one, and as documents of five. KenLM reads the
ARPA file that we write, so both score with the same numbers; it is given a text at a time, as its module wants it, and
we are given them all. Where the package `kenlm` is not installed, and for tokens of an artifact, there is no peer.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import math
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.dated import Found, about
from benchmarks.texts import OWN_TEXT, check_pair
from benchmarks.timing import timed
from regrow.artifact.memory_artifact import build_memory_artifact
from regrow.core.errors import DataError
from regrow.core.progress import Progress
from regrow.data.documents import Texts
from regrow.data.readers import read_texts
from regrow.data.sources import read_source
from regrow.ngram.store.arpa import write_arpa
from regrow.ngram.word_counts import estimate_words
from regrow.predict.text_scores import Scorer, TextScore, load_scorer, score_texts


class Size(NamedTuple):
    """How many lines are scored, and the vocabulary of the artifact."""

    lines: int
    vocab_size: int


SIZES = {"": Size(100_000, 1024), "quick": Size(300, 320)}
_ORDER = 5
_DOCUMENT = 5  # lines
_HELD_OUT = 10  # every so many lines of a text without one held out


def measure(train: Path | None, val: Path | None, size: Size, progress: Progress) -> Found:
    """Seconds and tokens of texts by each model. Raises ConfigError for held-out text alone, DataError
    for none."""
    name, learned, unseen = _lines(train, val)
    lines = list(itertools.islice(itertools.cycle(unseen), size.lines))
    documents = [b" ".join(lines[at : at + _DOCUMENT]) for at in range(0, len(lines), _DOCUMENT)]
    kinds = {"lines": lines, "documents": documents}
    with tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch:
        arpa, artifact = Path(scratch, "model.arpa"), Path(scratch, "model")
        with progress.task(f"models of order {_ORDER}"):
            vocabulary, orders = estimate_words(learned, _ORDER)
            with arpa.open("wb") as file:
                write_arpa(file, vocabulary, orders, lambda n: None)
            build_memory_artifact(
                artifact, Texts.of(learned), order=_ORDER, vocab_size=size.vocab_size, budget_bytes=16_000_000
            )
        peer, peer_load = _kenlm(arpa, progress)
        rows = []
        for model, path in (("words", arpa), ("tokens", artifact)):
            ours, load = timed(partial(load_scorer, path))
            list(score_texts(ours, unseen[:1]))  # compiled code is fetched
            for kind, texts in kinds.items():
                with progress.task(f"score {kind} by {model}"):
                    row = _row(ours, peer if model == "words" else None, texts)
                rows.append({"model": model, "texts": kind, "load_seconds": load, **row})
    text = {"name": name, "train_bytes": sum(map(len, learned)), "held_out_lines": len(unseen)}
    return {
        **about(None, compiled=False),
        "text": text,
        "order": _ORDER,
        "lines": size.lines,
        "peer_load_seconds": peer_load,
        "rows": rows,
    }


def _row(ours: Scorer, peer: Callable[[bytes], float] | None, texts: list[bytes]) -> Found:
    scores, seconds = timed(lambda: list(score_texts(ours, texts)))
    row: Found = {"tokens": sum(score.tokens for score in scores), "seconds": seconds}
    if peer is None:
        return {**row, "peer_seconds": None, "largest_difference": None}
    theirs, their_seconds = timed(lambda: [peer(text) for text in texts])
    return {**row, "peer_seconds": their_seconds, "largest_difference": _difference(scores, theirs)}


def summary(found: Found) -> dict[str, Any]:
    """By model and kind of text: tokens a second, and beside KenLM the ratio of speeds, ours over theirs, and how far
    log10 of a token lies from theirs at most."""
    return {f"{row['model']}, {row['texts']}": _speeds(row) for row in found["rows"]}


def _speeds(row: dict[str, Any]) -> dict[str, float | None]:
    theirs = row["peer_seconds"]
    return {
        "tokens_per_second": row["tokens"] / row["seconds"],
        "peer_tokens_per_second": theirs and row["tokens"] / theirs,
        "ratio": theirs and theirs / row["seconds"],
        "largest_difference": row["largest_difference"],
    }


def _lines(train: Path | None, val: Path | None) -> tuple[str, list[bytes], list[bytes]]:
    """The text's name, its lines to learn from, and those to score."""
    check_pair(train, val)
    if train is None:
        years = read_source(OWN_TEXT, 0.1)
        learned = [line for document in years.train for line in bytes(document.text).split(b"\n")]
        return OWN_TEXT, _some(learned, OWN_TEXT), _some(years.validation.split(b"\n"), OWN_TEXT)
    learned = _some(read_texts(train, "line"), str(train))
    if val is not None:
        return train.name, learned, _some(read_texts(val, "line"), str(val))
    rest = [line for i, line in enumerate(learned) if i % _HELD_OUT]
    return train.name, _some(rest, str(train)), learned[::_HELD_OUT]


def _some(lines: Iterable[bytes], name: str) -> list[bytes]:
    if found := [line for line in lines if line.strip()]:
        return found
    raise DataError(f"{name}: has too few lines to learn from and to score; give another text.")


def _kenlm(arpa: Path, progress: Progress) -> tuple[Callable[[bytes], float] | None, float | None]:
    """KenLM's `score` and how many seconds it took to load; None where it is not installed."""
    if importlib.util.find_spec("kenlm") is None:
        progress.log("the package kenlm is not installed: its figures are left out (pip install kenlm)")
        return None, None
    model, seconds = timed(lambda: importlib.import_module("kenlm").Model(str(arpa)))
    return model.score, seconds


def _difference(scores: list[TextScore], theirs: list[float]) -> float:
    """Between log10 a token of ours and theirs, the largest over all texts."""
    return max(
        abs(ours.bits * math.log10(2) + log10) / ours.tokens
        for ours, log10 in zip(scores, theirs, strict=True)
    )
