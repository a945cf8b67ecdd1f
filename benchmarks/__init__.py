"""Benches: what is measured side by side, in one run, on one machine, and kept as a dated result.

regrow bench bases            Hadamard, QR and Gaussian bases; which matrices to seed
regrow bench ngram            the n-gram memory beside KenLM and tokengrams
regrow bench forms            its two stored forms at 1, 2, 4, 8 and 14 MB: bytes, load seconds, bits per byte
regrow bench prefill          counted while training, ahead of it, and ahead in parallel, at equal wall clock
regrow bench merge            counts of two processes made one: seconds and bytes, beside counting them
regrow bench published        the published hashed cache: its score, what that sums to, and the honest form
regrow bench adaptive         the predictor that learns from the text it has scored, part by part
regrow bench tokenize         1 GB of text to a data folder, beside SentencePiece's bare encoder; tokenize:200 on 200 MB

NAME:quick is the same in seconds, where there is one, to see that it works; its figures mean nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from regrow.core.errors import ConfigError
from regrow.core.progress import Progress

NAMES = (
    "bases", "bases:quick", "ngram", "forms", "prefill", "prefill:quick", "merge", "published", "published:quick",
    "adaptive", "tokenize", "tokenize:200", "tokenize:quick",
)  # fmt: skip

# What a bench on a data set is made of: its vocabulary, how it measures, what it tells scripts, and its size.
_Parts: TypeAlias = tuple[int, Callable[..., Any], Callable[..., dict[str, Any]], tuple[Any, ...]]


def run(
    name: str, train: Path | None, val: Path | None, progress: Progress, *, artifact: Path | None = None
) -> dict[str, Any]:
    """Run the bench `name`, write its dated result, and return its summary with the path of that result.

    `train` and `val` are text to use instead of the bench's own; `artifact`, for `adaptive`, is scored on `val` as it
    is. Raises ConfigError for a name there is none of and for a `val` without a `train`, DataError for text that
    cannot be used.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]}" if near else f"there is {', '.join(NAMES)}"
        raise ConfigError(f"bench {name}: there is none of that name; {hint}.")
    if artifact is not None and name != "adaptive":
        raise ConfigError(f"--artifact {artifact}: bench {name} makes its own; leave it out.")
    kind, _, size = name.partition(":")
    if kind == "adaptive":
        from benchmarks import adaptive

        return adaptive.run(train, val, artifact, progress)
    if kind == "tokenize":
        from benchmarks import tokenize

        return tokenize.run(name, train, progress)
    return _on_data(_BENCHES[kind], size, name, train, val, progress)


def _bases(size: str) -> _Parts:
    from benchmarks import bases
    from benchmarks.bases_size import FULL, QUICK

    chosen = QUICK if size else FULL
    return chosen.vocab_size, bases.measure, bases.summary, (chosen,)


def _ngram(size: str) -> _Parts:
    from benchmarks import ngram

    return ngram.VOCAB_SIZE, ngram.measure, ngram.summary, ()


def _forms(size: str) -> _Parts:
    from benchmarks import forms

    return forms.VOCAB_SIZE, forms.measure, forms.summary, ()


def _prefill(size: str) -> _Parts:
    from benchmarks import prefill

    chosen = prefill.QUICK if size else prefill.FULL
    return chosen.vocab_size, prefill.measure, prefill.summary, (chosen,)


def _merge(size: str) -> _Parts:
    from benchmarks import merge

    return merge.VOCAB_SIZE, merge.measure, merge.summary, ()


def _published(size: str) -> _Parts:
    from benchmarks import published

    chosen = published.QUICK if size else published.FULL
    return chosen.vocab_size, published.measure, published.summary, (chosen,)


_BENCHES = {
    "bases": _bases, "ngram": _ngram, "forms": _forms, "prefill": _prefill, "merge": _merge, "published": _published,
}  # fmt: skip


def _on_data(
    bench: Callable[[str], _Parts],
    size: str,
    name: str,
    train: Path | None,
    val: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    from benchmarks.dated import save_dated
    from benchmarks.texts import bench_data

    vocab_size, measure, summary, chosen = bench(size)
    with bench_data(train, val, vocab_size, progress) as data:
        found = measure(data, *chosen, progress)
    return {"result": str(save_dated(name.replace(":", "-"), found)), **summary(found)}
