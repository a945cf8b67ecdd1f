"""Keys of one to four words against plain tuples, and the log-structured merge tree that holds them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.ngram.counts import keys as k
from regrow.ngram.counts.runs import RunTree, count_run, reduce_run
from regrow.ngram.counts.sorted_keys import locate

SHAPES = [
    (1, 16),
    (1, 3),
    (3, 1),
    (10, 6),
    (10, 7),
    (10, 8),
    (10, 12),
    (10, 13),
    (11, 7),
    (13, 5),
    (16, 4),
    (16, 16),
]
EXAMPLES = settings(max_examples=80, deadline=None)


@st.composite
def key_arrays(draw: st.DrawFn, fewest: int = 1) -> tuple[int, int, list[tuple[int, ...]]]:
    """bits, order, and fields (a_1 .. a_{n-1}, w) of some keys, drawn from few tokens so that they share
    prefixes.
    """
    bits, order = draw(st.sampled_from(SHAPES))
    token = st.sampled_from(sorted({0, 1, (1 << bits) - 1, 1 << (bits - 1)}))
    return bits, order, draw(st.lists(st.tuples(*[token] * order), min_size=fewest, max_size=40))


def packed(rows: list[tuple[int, ...]], order: int, bits: int) -> np.ndarray:
    """Each key from a stream of its own, in reading order: the oldest token first."""
    streams = [np.array([*row[-2::-1], row[-1]], np.uint64) for row in rows]
    return np.hstack([k.pack_windows(s, order, bits) for s in streams])


def rows_of(words: np.ndarray, order: int, bits: int) -> list[tuple[int, ...]]:
    return [tuple(row) for row in k.unpack(words, order, bits).tolist()]


@EXAMPLES
@given(key_arrays())
def test_fields_come_back_and_the_oldest_can_be_taken_out(
    case: tuple[int, int, list[tuple[int, ...]]],
) -> None:
    bits, order, rows = case
    words = packed(rows, order, bits)
    assert rows_of(words, order, bits) == rows
    assert np.array_equal(k.pack_fields(list(k.unpack(words, order, bits).T), bits), words)
    for age in range(order):
        assert k.field(words, order, bits, age).tolist() == [r[-1] if age == 0 else r[age - 1] for r in rows]
    if order > 1:
        assert rows_of(k.drop_oldest(words, order, bits), order - 1, bits) == [(*r[:-2], r[-1]) for r in rows]


@EXAMPLES
@given(key_arrays())
def test_sorting_is_that_of_the_fields(case: tuple[int, int, list[tuple[int, ...]]]) -> None:
    bits, order, rows = case
    words = packed(rows, order, bits)
    assert rows_of(words[:, k.argsort_words(words, order, bits)], order, bits) == sorted(rows)
    ordered = k.sort_words(words.copy(), order, bits)
    assert rows_of(ordered, order, bits) == sorted(rows)
    starts = k.run_starts(ordered).tolist()
    assert [sorted(rows)[i] for i in starts] == sorted(set(rows))
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        assert len({tuple(row) for row in k.unpack(ordered[:, start:end], order, bits).tolist()}) == 1


@EXAMPLES
@given(key_arrays(), st.data())
def test_locating_is_bisection(case: tuple[int, int, list[tuple[int, ...]]], data: st.DataObject) -> None:
    bits, order, rows = case
    cut = data.draw(st.integers(0, len(rows) - 1))
    known, asked = sorted(set(rows[:cut])), sorted(rows[cut:])
    words = packed(known, order, bits) if known else packed(rows, order, bits)[:, :0]
    at, found = locate(words, packed(asked, order, bits))
    assert at.tolist() == [sum(row < query for row in known) for query in asked]
    assert found.tolist() == [query in known for query in asked]


@EXAMPLES
@given(key_arrays(fewest=6), st.data())
def test_pushing_runs_one_by_one_is_counting_at_once(
    case: tuple[int, int, list[tuple[int, ...]]], data: st.DataObject
) -> None:
    bits, order, rows = case
    tree = RunTree(order, bits)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=8)))
    for lo, hi in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        if lo < hi:
            tree.push(count_run(order, bits, packed(rows[lo:hi], order, bits), threads=1))
    whole = count_run(order, bits, packed(rows, order, bits), threads=1)
    again = reduce_run(order, bits, packed(rows, order, bits), np.ones(len(rows), np.uint32))
    for run in (tree.compact(), again):
        np.testing.assert_array_equal(run.words_WN, whole.words_WN)
        np.testing.assert_array_equal(run.counts_N, whole.counts_N)


def test_a_token_is_merged_a_logarithmic_number_of_times() -> None:
    """The promise behind adding batch by batch: few runs are held at any time, each at most half of the next
    older.
    """
    rng = np.random.default_rng(0)
    tree = RunTree(3, 16)
    for i in range(1, 200):
        tree.push(count_run(3, 16, k.pack_windows(rng.integers(0, 65_536, 102).astype(np.uint64), 3, 16)))
        sizes = [len(run) for run in tree._runs]
        assert len(sizes) <= 1 + np.log2(i)
        assert all(old >= 2 * young for old, young in itertools.pairwise(sizes))


@pytest.mark.parametrize(
    ("order", "bits"), [(2, 10), (6, 10), (7, 10), (7, 11), (5, 16), (6, 12), (16, 5), (13, 10)]
)
def test_counting_by_buckets_is_counting_one_by_one(order: int, bits: int) -> None:
    """One key fills more than a bucket; keys of one word, of two that fit a bucket and a word, and longer ones."""
    rng = np.random.default_rng(0)
    tokens = min(900, 1 << bits)
    stream = np.concatenate(
        (np.full(100_000, 7), rng.integers(0, tokens, 200_000), rng.integers(0, 3, 100_000))
    )
    words = k.pack_windows(stream.astype(np.uint64), order, bits)
    one, two = (count_run(order, bits, words.copy(), threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.words_WN, two.words_WN)
    np.testing.assert_array_equal(one.counts_N, two.counts_N)
    distinct, times = np.unique(words.T, axis=0, return_counts=True)
    np.testing.assert_array_equal(one.words_WN.T, distinct)
    np.testing.assert_array_equal(one.counts_N, times)
