"""After any context of words, known or not, the probabilities of all words, </s> and <unk> sum to one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.ngram.word_counts import estimate_words
from regrow.ngram.word_model import WordModel

SENTENCES = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=8), min_size=1, max_size=12).filter(any)


@settings(max_examples=40, deadline=None)
@given(sentences=SENTENCES, order=st.integers(1, 6), context=st.lists(st.sampled_from("abcz"), max_size=6))
def test_probabilities_sum_to_one(sentences: list[list[str]], order: int, context: list[str]) -> None:
    words, orders = estimate_words([" ".join(s).encode() for s in sentences], order)
    model = WordModel(words, orders)
    total = 0.0
    for word in (*words, b"zebra"):
        if word not in (b"<s>", b"<unk>"):
            *_, (log10, _, _) = model.full_scores(" ".join(context).encode() + b" " + word, eos=False)
            total += 10**log10
    assert total == pytest.approx(1, abs=1e-5)
