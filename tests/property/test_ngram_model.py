"""Modified Kneser-Ney against a dictionary implementation, and the promises every row keeps."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.core.errors import NgramError
from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.kneser_ney import FALLBACK_DISCOUNTS, discounts_of
from regrow.ngram.model.ngram_model import NgramModel

BOS = 1
EXAMPLES = settings(max_examples=60, deadline=None)
Gram = tuple[int, ...]


class SlowModel:
    """Interpolated modified Kneser-Ney by the formulas, over dictionaries."""

    def __init__(self, tokens: list[int], vocab: int, max_order: int) -> None:
        self.vocab, self.max_order = vocab, max_order
        raw: list[Counter[Gram]] = [Counter() for _ in range(max_order + 1)]
        left: list[defaultdict[Gram, set[int]]] = [defaultdict(set) for _ in range(max_order + 1)]
        unknown_left: list[Counter[Gram]] = [Counter() for _ in range(max_order + 1)]
        for i, token in enumerate(tokens):
            for n in range(1, max_order + 1):
                gram = tuple(tokens[i - n + 1 : i + 1])
                if token == BOS or i - n + 1 < 0 or BOS in gram[1:]:
                    break
                raw[n][gram] += 1
                if gram[0] != BOS:
                    if i - n >= 0:
                        left[n][gram].add(tokens[i - n])
                    else:
                        unknown_left[n][gram] += 1
        self.used: list[dict[Gram, int]] = [{}]
        for n in range(1, max_order + 1):
            at_top = n == max_order
            self.used.append(
                {
                    g: c if at_top or g[0] == BOS else len(left[n][g]) + unknown_left[n][g]
                    for g, c in raw[n].items()
                }
            )
        self.discounts: list[tuple[float, ...]] = [()]
        for table in self.used[1:]:
            n1, n2, n3, n4 = (sum(c == i for c in table.values()) for i in (1, 2, 3, 4))
            d = FALLBACK_DISCOUNTS
            if n1 and n2 and n3:
                y = n1 / (n1 + 2 * n2)
                tried = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
                if all(0 < x <= j for j, x in enumerate(tried, 1)):
                    d = tried
            self.discounts.append(d)

    def prob(self, context: Gram, order: int) -> np.ndarray:
        if order == 0:
            return np.full(self.vocab, 1 / self.vocab)
        lower = self.prob(context[1:], order - 1) if order > 1 else self.prob((), 0)
        after = {g[-1]: c for g, c in self.used[order].items() if g[:-1] == context}
        if not after:
            return lower
        total, row, left = sum(after.values()), np.zeros(self.vocab), 0.0
        for token, count in after.items():
            d = self.discounts[order][min(count, 3) - 1]
            row[token] += (count - d) / total
            left += d / total
        return row + left * lower


def stream(documents: list[list[int]]) -> list[int]:
    return [t for d in documents for t in [BOS, *d]]


def model_of(tokens: list[int], vocab: int, order: int, threads: int = 1) -> NgramModel:
    counts = NgramCounts(vocab, order)
    counts.add(np.array(tokens, np.int64))
    return NgramModel.from_counts(counts, threads=threads)


documents_of_letters = st.lists(st.lists(st.sampled_from([0, 2, 3, 4]), max_size=40), min_size=1, max_size=4)


@EXAMPLES
@given(documents_of_letters, documents_of_letters, st.sampled_from([1, 2, 3, 4, 7]), st.booleans())
def test_rows_are_the_formulas_of_chen_and_goodman(
    documents: list[list[int]], held_out: list[list[int]], order: int, headless: bool
) -> None:
    vocab = 6
    tokens = stream(documents)[headless:]
    slow, fast = SlowModel(tokens, vocab, order), model_of(tokens, vocab, order)
    text = stream(held_out)
    rows = fast.rows(contexts_of(np.array(text), order - 1))
    for i in range(1, len(text)):
        head = max(j for j in range(i) if text[j] == BOS)
        context = tuple(text[max(head, i - order + 1) : i])
        matched = max(
            (
                n
                for n in range(2, len(context) + 2)
                if any(g[:-1] == context[-(n - 1) :] for g in slow.used[n])
            ),
            default=1,
        )
        expected = slow.prob(context, len(context) + 1)
        np.testing.assert_allclose(rows.probs_RV[i], expected, rtol=2e-6, atol=1e-9)
        assert rows.matched_order_R[i] == matched
        if matched > 1:
            after = [c for g, c in slow.used[matched].items() if g[:-1] == context[-(matched - 1) :]]
            assert (rows.context_total_R[i], rows.distinct_R[i]) == (sum(after), len(after))
        else:
            assert (rows.context_total_R[i], rows.distinct_R[i], rows.escape_R[i]) == (0, 0, 1)


@EXAMPLES
@given(
    documents_of_letters,
    st.sampled_from([(6, 3), (1024, 7), (1024, 14), (5000, 4), (5000, 1)]),
    st.integers(0, 2**32 - 1),
)
def test_every_row_is_a_distribution_with_no_zero(
    documents: list[list[int]], shape: tuple[int, int], seed: int
) -> None:
    """Whatever the context, seen or not, and whether or not order 2 is held as a dense table."""
    vocab, order = shape
    model = model_of(stream(documents), vocab, order)
    contexts = np.random.default_rng(seed).choice([-1, 0, 1, 2, 3, 4, vocab - 1], (50, order - 1))
    probs = model.probs(contexts)
    assert np.abs(probs.sum(axis=1, dtype=np.float64) - 1).max() <= 1e-6
    assert probs.min() > 0


def test_multi_word_keys_and_single_word_keys_give_the_same_distribution() -> None:
    """The same text under a vocabulary whose keys need four words: only the uniform share differs."""
    rng = np.random.default_rng(1)
    tokens = [BOS, *rng.integers(2, 7, 3000).tolist()]
    contexts = contexts_of(np.array(tokens), 11)
    small, large = model_of(tokens, 8, 12), model_of(tokens, 40_000, 12)
    a, b = small.rows(contexts), large.rows(contexts)
    np.testing.assert_array_equal(a.matched_order_R, b.matched_order_R)
    one, other = (rows.probs_RV[:, 2:7] - rows.probs_RV[:, 7:8] for rows in (a, b))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_rows_do_not_depend_on_threads_batches_or_neighbours() -> None:
    rng = np.random.default_rng(2)
    tokens = [BOS, *rng.integers(2, 60, 20_000).tolist()]
    contexts = contexts_of(np.array(tokens), 4, start=0, stop=4000)
    one, two = model_of(tokens, 64, 5, threads=1), model_of(tokens, 64, 5, threads=2)
    whole = one.probs(contexts, threads=1)
    np.testing.assert_array_equal(whole, two.probs(contexts, threads=3))
    order = rng.permutation(len(contexts))
    np.testing.assert_array_equal(whole[order], one.probs(contexts[order]))
    np.testing.assert_array_equal(whole[:7], one.probs(contexts[:7]))


def test_contexts_of_any_integer_type_and_layout_are_read_alike() -> None:
    model = model_of([BOS, 2, 3, 4, 2, 3, 5], 6, 3)
    contexts = np.array([[-1, 2], [2, 3], [4, 2]], np.int32)
    expected = model.probs(contexts)
    frozen = contexts.copy()
    frozen.flags.writeable = False
    for other in (contexts.astype(np.int64), np.asfortranarray(contexts), frozen):
        np.testing.assert_array_equal(model.probs(other), expected)
    np.testing.assert_array_equal(model.probs(contexts[1:].astype(np.uint16)), expected[1:])


def test_a_row_depends_on_its_prefix_only() -> None:
    rng = np.random.default_rng(3)
    model = model_of([BOS, *rng.integers(2, 9, 500).tolist()], 10, 4)
    text = np.array([BOS, *rng.integers(2, 9, 60).tolist()])
    before = model.probs(contexts_of(text, 3))
    for i in (5, 30, 59):
        changed = text.copy()
        changed[i:] = 2 + (changed[i:] - 1) % 7
        np.testing.assert_array_equal(before[: i + 1], model.probs(contexts_of(changed, 3))[: i + 1])


@EXAMPLES
@given(documents_of_letters, st.integers(0, 6), st.data())
def test_contexts_stop_at_the_document_and_can_be_cut_anywhere(
    documents: list[list[int]], width: int, data: st.DataObject
) -> None:
    tokens = stream(documents)[data.draw(st.integers(0, 1)) :]
    start = data.draw(st.integers(0, len(tokens)))
    stop = data.draw(st.integers(start, len(tokens)))
    got = contexts_of(np.array(tokens, np.uint16), width, start=start, stop=stop)
    assert got.shape == (stop - start, width)
    for i, row in enumerate(got.tolist(), start):
        expected: list[int] = []
        for j in range(i - 1, max(-1, i - 1 - width), -1):
            expected.insert(0, tokens[j])
            if tokens[j] == BOS:
                break
        assert row == [-1] * (width - len(expected)) + expected


def test_leaving_a_document_out_is_the_model_without_it() -> None:
    rng = np.random.default_rng(4)
    documents = [np.append(BOS, rng.integers(2, 20, 700)) for _ in range(4)]
    whole, fold, rest = NgramCounts(32, 4), NgramCounts(32, 4), NgramCounts(32, 4)
    whole.add(np.concatenate(documents))
    fold.add(documents[2])
    rest.add(np.concatenate(documents[:2] + documents[3:]))
    contexts = contexts_of(documents[2], 3)
    left_out = NgramModel.from_counts(whole.subtract(fold)).probs(contexts)
    np.testing.assert_array_equal(left_out, NgramModel.from_counts(rest).probs(contexts))


def test_an_empty_memory_predicts_the_uniform_distribution() -> None:
    model = NgramModel.from_counts(NgramCounts(16, 5))
    assert (model.probs(np.array([[1, 2, 3, 4]])) == 1 / 16).all()
    assert model.notes == ()


def test_capped_counts_still_give_distributions() -> None:
    rng = np.random.default_rng(5)
    counts = NgramCounts(30, 5, cap_bytes=8_000)
    tokens = np.append(BOS, rng.integers(2, 30, 6000))
    counts.add(tokens)
    assert counts.error_bound(5) > 0
    probs = NgramModel.from_counts(counts).probs(contexts_of(tokens, 4))
    assert np.abs(probs.sum(axis=1, dtype=np.float64) - 1).max() <= 1e-6
    assert probs.min() > 0


def test_impossible_discounts_fall_back_and_name_their_order() -> None:
    assert discounts_of(0, 3, 2, 1) is None
    assert discounts_of(3, 1, 5, 1) is None  # D2 would be negative
    assert discounts_of(40, 20, 10, 5) == pytest.approx((0.5, 1.25, 2.0))
    model = model_of([BOS, 2, 2, 2, 2], 4, 2)
    assert model.discounts == (FALLBACK_DISCOUNTS, FALLBACK_DISCOUNTS)
    assert [note.split(":")[0] for note in model.notes] == ["order 1", "order 2"]


@pytest.mark.parametrize(
    ("contexts", "words"),
    [
        (np.zeros(3, int), r"give integers \[rows, tokens\]"),
        (np.zeros((3, 2)), r"give integers \[rows, tokens\]"),
        (np.array([[2, 9]]), "holds token 9 but the vocabulary has 9"),
    ],
)
def test_contexts_that_do_not_fit_are_refused(contexts: np.ndarray, words: str) -> None:
    with pytest.raises(NgramError, match=words):
        model_of([BOS, 2, 3], 9, 3).rows(contexts)


def test_an_unfit_output_array_is_refused() -> None:
    with pytest.raises(NgramError, match="give contiguous float32"):
        model_of([BOS, 2, 3], 9, 3).probs(np.array([[2, 3]]), out=np.empty((1, 8), np.float32))
