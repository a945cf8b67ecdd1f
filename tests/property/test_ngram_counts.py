"""N-gram counts against a dictionary that counts the slow way."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.core.errors import NgramError
from regrow.ngram.counts.ngram_counts import NgramCounts

BOS = 1
EXAMPLES = settings(max_examples=60, deadline=None)
# Orders and vocabularies whose keys take one to four words.
SHAPES = [(5, 3), (5, 1), (5, 16), (1024, 6), (1024, 7), (1024, 13), (2048, 7), (65536, 5), (65536, 16)]


@st.composite
def corpora(draw: st.DrawFn) -> tuple[int, int, list[list[int]]]:
    """vocab_size, max_order, and documents (without BOS) that repeat themselves."""
    vocab, order = draw(st.sampled_from(SHAPES))
    letters = sorted({0, 2, 3, vocab - 1, vocab // 2} - {BOS})
    documents = draw(st.lists(st.lists(st.sampled_from(letters), max_size=30), min_size=1, max_size=5))
    return vocab, order, documents


def stream(documents: list[list[int]]) -> np.ndarray:
    return np.array([t for d in documents for t in [BOS, *d]], np.uint16)


def slow_counts(tokens: list[int], max_order: int) -> list[Counter[tuple[int, ...]]]:
    tables: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(max_order + 1)]
    for i, token in enumerate(tokens):
        for n in range(1, max_order + 1):
            gram = tokens[i - n + 1 : i + 1]
            if token != BOS and i - n + 1 >= 0 and BOS not in gram[1:]:
                tables[n][tuple(gram)] += 1
    return tables


def tables_of(counts: NgramCounts) -> list[dict[tuple[int, ...], int]]:
    result: list[dict[tuple[int, ...], int]] = [{}]
    for table in counts.tables():
        grams = [tuple(g) for g in table.grams(counts.vocab_size).tolist()]
        assert len(set(grams)) == len(grams)
        result.append(dict(zip(grams, table.counts_N.tolist(), strict=True)))
    return result


@EXAMPLES
@given(corpora())
def test_every_order_is_counted_exactly(corpus: tuple[int, int, list[list[int]]]) -> None:
    vocab, order, documents = corpus
    counts = NgramCounts(vocab, order)
    counts.add(stream(documents))
    assert tables_of(counts) == slow_counts(stream(documents).tolist(), order)
    assert counts.total == sum(map(len, documents))


@EXAMPLES
@given(corpora(), st.data())
def test_batches_cut_anywhere_count_as_one(
    corpus: tuple[int, int, list[list[int]]], data: st.DataObject
) -> None:
    vocab, order, documents = corpus
    tokens = stream(documents)
    whole, batched = NgramCounts(vocab, order), NgramCounts(vocab, order, threads=2)
    whole.add(tokens)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(tokens)), max_size=6)))
    for lo, hi in zip([0, *cuts], [*cuts, len(tokens)], strict=True):
        batched.add(tokens[lo:hi], history=tokens[max(0, lo - order + 1) : lo])
    assert batched.sha256() == whole.sha256()


@EXAMPLES
@given(corpora())
def test_a_stream_that_starts_inside_a_document_counts_what_it_shows(
    corpus: tuple[int, int, list[list[int]]],
) -> None:
    vocab, order, documents = corpus
    tokens = stream(documents)[1:]
    counts = NgramCounts(vocab, order)
    counts.add(tokens)
    assert tables_of(counts) == slow_counts(tokens.tolist(), order)


@EXAMPLES
@given(corpora(), st.randoms(use_true_random=False))
def test_shards_merge_to_the_same_bytes_in_any_order(
    corpus: tuple[int, int, list[list[int]]], random: object
) -> None:
    vocab, order, documents = corpus
    whole = NgramCounts(vocab, order)
    whole.add(stream(documents))
    shards = []
    for document in documents:
        shards.append(NgramCounts(vocab, order))
        shards[-1].add(stream([document]))
    while len(shards) > 1:
        random.shuffle(shards)  # type: ignore[attr-defined]
        a, b = shards.pop(), shards.pop()
        assert a.merge(b).sha256() == b.merge(a).sha256()
        shards.append(a.merge(b))
    assert shards[0].canonical_bytes() == whole.canonical_bytes()
    assert shards[0].total == whole.total


@EXAMPLES
@given(corpora(), corpora())
def test_subtracting_what_was_added_leaves_no_trace(
    corpus: tuple[int, int, list[list[int]]], other: tuple[int, int, list[list[int]]]
) -> None:
    vocab, order, documents = corpus
    folded = [[t for t in d if t < vocab] for d in other[2]]
    kept, fold, both = (NgramCounts(vocab, order) for _ in range(3))
    kept.add(stream(documents))
    fold.add(stream(folded))
    both.add(stream(documents))
    both.add(stream(folded))
    assert both.subtract(fold).sha256() == kept.sha256()


@EXAMPLES
@given(
    st.lists(st.integers(2, 12), min_size=1, max_size=4000), st.sampled_from([3, 5, 8]), st.integers(1, 400)
)
def test_past_the_cap_counts_stay_within_the_stated_bound(tokens: list[int], order: int, batch: int) -> None:
    tokens = [BOS, *tokens]
    counts = NgramCounts(13, order, cap_bytes=24 * 40)
    for lo in range(0, len(tokens), batch):
        counts.add(np.array(tokens[lo : lo + batch]), history=np.array(tokens[max(0, lo - order) : lo], int))
        assert counts.nbytes <= counts.cap_bytes
    true, kept = slow_counts(tokens, order), tables_of(counts)
    for n in range(1, order + 1):
        assert kept[n].keys() <= true[n].keys()
        for gram, count in true[n].items():
            assert count - counts.error_bound(n) <= kept[n].get(gram, 0) <= count
    assert counts.error_bound(1) == 0


def test_error_bounds_add_when_capped_counts_merge() -> None:
    """A merged count is off by at most the sum of both bounds, plus what the merge itself had to shorten."""
    rng = np.random.default_rng(0)
    halves = [rng.integers(2, 12, 5000) for _ in range(2)]
    capped = [NgramCounts(13, 5, cap_bytes=24_000) for _ in halves]
    for counts, half in zip(capped, halves, strict=True):
        counts.add(np.append(BOS, half))
        assert counts.error_bound(5) > 0
    both = capped[0].merge(capped[1])
    assert both.error_bound(5) >= capped[0].error_bound(5) + capped[1].error_bound(5)
    assert both.nbytes <= both.cap_bytes
    true = slow_counts([BOS, *halves[0].tolist()], 5)[5] + slow_counts([BOS, *halves[1].tolist()], 5)[5]
    kept = tables_of(both)[5]
    assert max(count - kept.get(gram, 0) for gram, count in true.items()) <= both.error_bound(5)


def _counts(
    vocab: int = 8, order: int = 3, bos: int = BOS, tokens: tuple[int, ...] = (1, 2, 3)
) -> NgramCounts:
    counts = NgramCounts(vocab, order, bos_id=bos)
    counts.add(np.array(tokens))
    return counts


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: NgramCounts(8, 0), "max_order is 0; choose an order from 1 to 16"),
        (lambda: NgramCounts(8, 17), "max_order is 17; choose"),
        (lambda: NgramCounts(1, 3), "vocab_size is 1; choose"),
        (lambda: NgramCounts(8, 3, bos_id=8), "bos_id 8"),
        (lambda: NgramCounts(8, 3, cap_bytes=100), "cap_bytes is 100"),
        (lambda: _counts(tokens=(1, 8)), "token id 8 but the vocabulary has 8"),
        (lambda: _counts().add(np.array([2, -1])), "token id -1"),
        (lambda: _counts().add(np.array([2]), history=np.array([9])), "history holds token id 9"),
        (lambda: _counts().add(torch.tensor([2, 3, 4, 8])), "token id 8"),
        (lambda: _counts().add(np.array([2.0])), "1-D array of integers"),
        (lambda: _counts().merge(_counts(vocab=9)), "cannot merge counts with vocab_size 9 and 8"),
        (lambda: _counts().merge(_counts(order=4)), "max_order 4 and 3"),
        (lambda: _counts().merge(_counts(bos=0)), "bos_id 0 and 1"),
        (lambda: _counts().subtract(_counts(tokens=(1, 2, 4))), "n-gram that was not added here"),
        (lambda: _counts().subtract(_counts(tokens=(1, 2, 3, 1, 2, 3))), "n-gram that was not added here"),
    ],
)
def test_what_cannot_be_counted_is_one_clear_sentence(act: object, words: str) -> None:
    with pytest.raises(NgramError) as caught:
        act()  # type: ignore[operator]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_capped_counts_refuse_subtraction() -> None:
    rng = np.random.default_rng(0)
    counts = NgramCounts(13, 5, cap_bytes=10_000)
    counts.add(rng.integers(2, 12, 5000))
    with pytest.raises(NgramError, match="memory cap cannot be subtracted"):
        counts.subtract(counts)
