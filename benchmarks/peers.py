"""The peers, where they are installed: KenLM's programs on the path, the package tokengrams.

KenLM (Heafield 2011) estimates with `lmplz` and stores with `build_binary`; `query` scores. Its `<s>` is our BOS, and a
document a line. tokengrams builds a suffix array, which answers counts of any order and estimates nothing.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import EnvironmentProblem

KENLM_PROGRAMS = ("lmplz", "build_binary", "query")
_TOKEN_LINE = re.compile(rb"=\d+ \d+ (-?[0-9.]+(?:e[-+]?\d+)?)")


@dataclass(frozen=True)
class Cost:
    """Wall-clock `seconds` of a whole process and `peak_bytes`, its largest resident size.

    The kernel counts what this process held when it started the child, so a smaller peak than that is not seen.
    """

    seconds: float
    peak_bytes: int


def run_child(command: Sequence[str | Path], output: Path, text: Path | None = None) -> Cost:
    """Run `command` with its standard output in `output` and `text`, if any, as its standard input.

    Raises EnvironmentProblem with the end of what it said if it fails.
    """
    errors = output.with_suffix(output.suffix + ".stderr")
    started = time.perf_counter()
    with output.open("wb") as out, errors.open("wb") as err, (text or Path(os.devnull)).open("rb") as given:
        child = subprocess.Popen([str(part) for part in command], stdin=given, stdout=out, stderr=err)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if child.returncode:
        said = errors.read_text(errors="replace").strip().splitlines()[-1:] or [
            f"exit code {child.returncode}"
        ]
        raise EnvironmentProblem(f"{command[0]}: failed ({said[0]}); run it by hand to see why.")
    return Cost(seconds, usage.ru_maxrss * 1024)


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
    """Tokens as words, a document per line."""
    words = [b"%d" % i for i in range(int(tokens.max(initial=0)) + 1)]
    heads = np.flatnonzero(tokens == bos_id)
    edges = [*([0] if not len(heads) or heads[0] else []), *heads.tolist(), len(tokens)]
    with path.open("wb") as file:
        for start, stop in itertools.pairwise(edges):
            first = start + int(tokens[start] == bos_id)
            file.write(b" ".join([words[t] for t in tokens[first:stop].tolist()]) + b"\n")


def run_kenlm(scratch: Path, train: Path, held_out: Path, order: int) -> KenLM:
    """Estimate, store and score in `scratch`; all programs must be on the path."""
    arpa, trie = scratch / "kenlm.arpa", scratch / "kenlm.trie"
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
    return KenLM(estimate, store, trie.stat().st_size, ngrams, kenlm_bits(scratch, held_out))


def kenlm_bits(scratch: Path, held_out: Path) -> float:
    """Bits of another held-out text by the model that `run_kenlm` left in `scratch`."""
    scores = scratch / "kenlm.scores"
    run_child(["query", "-v", "word", scratch / "kenlm.trie"], scores, held_out)
    log10 = 0.0
    with scores.open("rb") as file:
        for line in file:
            for word in line.split(b"\t"):
                found = _TOKEN_LINE.search(word)
                if found and not word.startswith(b"</s>"):
                    log10 += float(found[1])
    return -log10 / math.log10(2)


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
