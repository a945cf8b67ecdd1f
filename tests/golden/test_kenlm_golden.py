"""log10 probabilities that KenLM prints for a small corpus: an independent implementation as the oracle.

The values were printed by KenLM (github.com/kpu/kenlm, commit 4cb443e) like this, for each order N::

    python -c "import test_kenlm_golden as t; t.write_text_files()"     # in this folder: writes train.txt, held_out.txt
    lmplz -o N --discount_fallback --text train.txt --arpa N.arpa
    query N.arpa < held_out.txt                                         # the third field of every token

A document is a line: KenLM's <s> is our BOS, its </s> an ordinary token at the end of each document (id 0). KenLM's
unigrams are interpolated with a uniform distribution over its words, </s> and <unk>; ours over all token ids, BOS
included: the same number, as every id but BOS occurs in the corpus.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store.arpa import write_arpa
from regrow.ngram.word_counts import estimate_words
from regrow.ngram.word_model import WordModel

END, BOS, WORDS = 0, 1, 40
GOLDEN = Path(__file__).with_name("kenlm_log10.json")


def documents(seed: int, tokens: int) -> list[list[int]]:
    """Token ids 2..WORDS + 1 from a source that repeats itself, so that long contexts recur."""
    source = random.Random(seed)
    result: list[list[int]] = [[]]
    while sum(map(len, result)) < tokens:
        previous = result[-1][-1] if result[-1] else 7
        step = source.choice((1, 1, 1, 3, 5)) if source.random() < 0.8 else source.randrange(WORDS)
        result[-1].append(2 + (3 * previous + step) % WORDS)
        if source.random() < 0.02:
            result.append([])
    return [d for d in result if d]


def write_text_files() -> None:
    for name, seed, tokens in (("train.txt", 1, 3000), ("held_out.txt", 2, 300)):
        lines = [" ".join(f"w{t}" for t in d) for d in documents(seed, tokens)]
        Path(name).write_text("\n".join(lines) + "\n")


def stream(seed: int, tokens: int) -> np.ndarray:
    return np.array([t for d in documents(seed, tokens) for t in (BOS, *d, END)])


@pytest.mark.parametrize("order", [3, 5, 6])
def test_probabilities_are_those_of_kenlm(order: int) -> None:
    golden = np.array(json.loads(GOLDEN.read_text())[str(order)])
    train, held_out = stream(1, 3000), stream(2, 300)
    assert set(train.tolist()) == set(range(WORDS + 2))
    counts = NgramCounts(WORDS + 2, order)
    counts.add(train)
    probs = NgramModel.from_counts(counts).probs(contexts_of(held_out, order - 1))
    predicted = np.flatnonzero(held_out != BOS)
    log10 = np.log10(probs[predicted, held_out[predicted]].astype(np.float64))
    assert len(log10) == len(golden) > 300
    assert np.abs(log10 - golden).max() < 1e-5


@pytest.mark.parametrize("order", [3, 5, 6])
def test_an_arpa_file_from_text_scores_as_kenlm_does(order: int, tmp_path: Path) -> None:
    golden = np.array(json.loads(GOLDEN.read_text())[str(order)])
    train, held_out = (
        [" ".join(f"w{t}" for t in d).encode() for d in documents(*of)] for of in ((1, 3000), (2, 300))
    )
    path = tmp_path / "model.arpa"
    with path.open("wb") as file:
        write_arpa(file, *estimate_words(train, order), lambda n: None)
    log10 = WordModel.load(path).score_many(held_out)[0]
    assert len(log10) == len(golden) and np.abs(log10 - golden).max() < 1e-5
