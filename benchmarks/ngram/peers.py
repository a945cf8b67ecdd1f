"""The peers, where they are installed: KenLM's programs on the path, the package tokengrams.

KenLM (Heafield 2011) estimates with `lmplz` and stores with `build_binary`; `query` scores. Its `<s>` is our BOS, and a
document a line. tokengrams builds a suffix array, which answers counts of any order and estimates nothing.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ngram.child import Cost, run_child

KENLM_PROGRAMS = ("lmplz", "build_binary", "query")
_TOKEN_LINE = re.compile(rb"=\d+ \d+ (-?[0-9.]+(?:e[-+]?\d+)?)")


@dataclass(frozen=True)
class KenLM:
    """What KenLM took and reached: `estimate` (lmplz, writing ARPA), `store` (the quantised trie, `trie_bytes`),
    and the bits it needs for the held-out tokens."""

    estimate: Cost
    store: Cost
    trie_bytes: int
    ngrams: int
    bits: float


def kenlm_missing() -> list[str]:
    """KenLM's programs that are not on the path."""
    return [name for name in KENLM_PROGRAMS if shutil.which(name) is None]


def write_tokens(path: Path, tokens: NDArray[np.integer[Any]], bos_id: int) -> None:
    """Tokens as words, a document a line."""
    words = [b"%d" % i for i in range(int(tokens.max(initial=0)) + 1)]
    heads = np.flatnonzero(tokens == bos_id)
    edges = [*([0] if not len(heads) or heads[0] else []), *heads.tolist(), len(tokens)]
    with path.open("wb") as file:
        for start, stop in itertools.pairwise(edges):
            first = start + int(tokens[start] == bos_id)
            file.write(b" ".join([words[t] for t in tokens[first:stop].tolist()]) + b"\n")


def run_kenlm(scratch: Path, train: Path, held_out: Path, order: int) -> KenLM:
    """Estimate, store and score in `scratch`; all programs must be on the path."""
    arpa, trie, scores = scratch / "kenlm.arpa", scratch / "kenlm.trie", scratch / "kenlm.scores"
    estimate = run_child(
        ["lmplz", "-o", str(order), "--discount_fallback", "--text", train, "--arpa", arpa, "-T", scratch],
        scratch / "lmplz.out",
    )
    ngrams = _ngrams(arpa)
    store = run_child(
        ["build_binary", "-q", "8", "-b", "8", "-a", "22", "-T", scratch, "trie", arpa, trie],
        scratch / "build.out",
    )
    arpa.unlink()
    run_child(["query", "-v", "word", trie], scores, held_out)
    log10 = 0.0
    with scores.open("rb") as file:
        for line in file:
            for word in line.split(b"\t"):
                found = _TOKEN_LINE.search(word)
                if found and not word.startswith(b"</s>"):
                    log10 += float(found[1])
    return KenLM(estimate, store, trie.stat().st_size, ngrams, -log10 / math.log10(2))


def _ngrams(arpa: Path) -> int:
    """The n-grams that an ARPA file's header states, of all orders."""
    total = 0
    with arpa.open("rb") as file:
        for line in file:
            if line.startswith(b"ngram "):
                total += int(line.split(b"=")[1])
            elif total and not line.strip():
                break
    return total


_INDEX = """
import sys
from tokengrams import MemmapIndex
MemmapIndex.build(sys.argv[1], sys.argv[2], vocab=int(sys.argv[3]))
"""


def run_tokengrams(scratch: Path, tokens: NDArray[np.integer[Any]], vocab_size: int) -> Cost | None:
    """Build tokengrams' index of the tokens; None where the package is not installed."""
    if importlib.util.find_spec("tokengrams") is None:
        return None
    path = scratch / "tokens.u16"
    tokens.astype("<u2").tofile(path)
    return run_child(
        [sys.executable, "-c", _INDEX, path, scratch / "tokens.index", str(vocab_size)],
        scratch / "tokengrams.out",
    )
