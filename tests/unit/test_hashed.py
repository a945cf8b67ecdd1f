"""The published cache: its hash and its score as published, and an honest distribution made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts.hashed_counts import PUBLISHED_BUCKETS, HashedCounts, default_buckets
from regrow.ngram.model.hashed_model import HashedModel

V = 40
BUCKETS = (64, 301, 128, 50, 32, 16)  # small enough to collide, and not all powers of two
CONSTANTS = [36313, 27191, 51647, 81929, 131071, 196613, 262147]


def some_tokens(seed: int, n: int = 900) -> NDArray[np.uint16]:
    rng = np.random.Generator(np.random.PCG64(seed))
    return np.minimum(rng.geometric(0.15, n) - 1, V - 1).astype(np.uint16)


def bucket(gram: list[int], size: int) -> int:
    """The rolling hash in plain integers."""
    h = 0
    for k, token in enumerate(gram):
        h = (h * CONSTANTS[k % 7] + token) % 2**32
    return h % size


def counted(seed: int = 1, max_order: int = 7) -> HashedCounts:
    counts = HashedCounts(V, max_order, BUCKETS[: max_order - 1])
    counts.add(some_tokens(seed))
    return counts


def plain_score(counts: HashedCounts, context: list[int], token: int, q: float) -> float:
    """The published rule, one token at a time: the highest order whose bucket holds two or more."""
    for order in range(counts.max_order, 1, -1):
        known = [t for t in context[-(order - 1) :] if t >= 0]
        if len(known) < order - 1:
            continue
        o = order - 2
        place = int(counts.offset_O[o]) + bucket([*known, token], int(counts.size_O[o]))
        c = min(int(counts.tables_N[place]), 65535)
        if c >= 2:
            a = min(0.95, math.log(1 + c) / 10)
            return max(a * c / (c + V) + (1 - a) * q, 1e-10)
    return q


def test_buckets_are_those_of_the_published_hash() -> None:
    counts, tokens = counted(), some_tokens(1).tolist()
    for o, size in enumerate(BUCKETS):
        wanted = np.zeros(size, np.int64)
        for end in range(o + 1, len(tokens)):
            wanted[bucket(tokens[end - o - 1 : end + 1], size)] += 1
        at = int(counts.offset_O[o])
        assert np.array_equal(counts.tables_N[at : at + size], wanted), f"order {o + 2}"


def test_published_buckets_are_the_default() -> None:
    assert tuple(HashedCounts(1024).size_O.tolist()) == PUBLISHED_BUCKETS
    assert default_buckets(9) == (*PUBLISHED_BUCKETS, 524288, 524288)
    assert default_buckets(3) == PUBLISHED_BUCKETS[:2]


def test_scores_are_the_published_rule() -> None:
    counts = counted()
    contexts = contexts_of(some_tokens(2, 60), 6)
    rng = np.random.Generator(np.random.PCG64(3))
    q = rng.dirichlet(np.ones(V), len(contexts)).astype(np.float32)
    scores = HashedModel(counts).published_scores(contexts, q)
    for r, context in enumerate(contexts.tolist()):
        for v in range(V):
            assert scores[r, v] == pytest.approx(
                plain_score(counts, context, v, float(q[r, v])), rel=1e-12, abs=1e-15
            )


def test_scores_are_no_distribution_and_grow_with_counts() -> None:
    """The finding of the bench in small: more passes over one text raise the sum over the vocabulary."""
    counts = counted()
    contexts = contexts_of(some_tokens(2, 60), 6)[6:]
    sums = [
        HashedModel(counts.repeated(n)).published_scores(contexts).sum(axis=1).mean() for n in (1, 10, 1000)
    ]
    assert 1.5 < sums[0] < sums[1] < sums[2]


def test_one_constant_everywhere_gives_every_token_the_same_high_score() -> None:
    model = HashedModel(counted().filled(65535))
    contexts = contexts_of(some_tokens(2, 60), 6)[6:]
    scores = model.published_scores(contexts)
    wanted = 0.95 * 65535 / (65535 + V) + 0.05 / V
    assert np.allclose(scores, wanted, rtol=1e-6)
    assert np.allclose(model.probs(contexts), 1 / V, rtol=1e-6), "the honest form of it knows nothing"


def test_the_honest_form_is_a_distribution_in_proportion_to_the_scores() -> None:
    model = HashedModel(counted())
    contexts = contexts_of(some_tokens(2, 300), 6)
    rows = model.rows(contexts, threads=1)
    scores = model.published_scores(contexts)
    assert abs(rows.probs_RV.astype(np.float64).sum(axis=1) - 1).max() < 1e-6
    assert np.allclose(rows.probs_RV, scores / scores.sum(axis=1, keepdims=True), rtol=1e-6)
    assert rows.probs_RV.min() > 0


def test_facts_for_the_gate_follow_from_the_context_alone() -> None:
    counts = counted()
    contexts = contexts_of(some_tokens(2, 40), 6)
    rows = HashedModel(counts).rows(contexts)
    for r, context in enumerate(contexts.tolist()):
        order = total = distinct = 0
        for n in range(7, 1, -1):
            known = [t for t in context[-(n - 1) :] if t >= 0]
            if len(known) < n - 1:
                continue
            at = int(counts.offset_O[n - 2])
            found = [counts.tables_N[at + bucket([*known, v], BUCKETS[n - 2])] for v in range(V)]
            held = [int(c) for c in found if c >= 2]
            if held:
                order, total, distinct = n, sum(held), len(held)
                break
        assert (rows.matched_order_R[r], rows.context_total_R[r], rows.distinct_R[r]) == (
            max(order, 1),
            total,
            distinct,
        )
    assert ((rows.escape_R > 0) & (rows.escape_R <= 1)).all()


def test_rows_do_not_depend_on_threads_or_on_their_mates() -> None:
    model = HashedModel(counted())
    contexts = np.tile(contexts_of(some_tokens(2, 300), 6), (6, 1))
    alone = np.concatenate([model.probs(contexts[i : i + 1]) for i in range(0, 300, 50)])
    assert np.array_equal(model.probs(contexts, threads=1), model.probs(contexts, threads=3))
    assert np.array_equal(model.probs(contexts)[0:300:50], alone)


def test_text_in_pieces_with_history_counts_as_one() -> None:
    tokens = some_tokens(4)
    whole, pieces = HashedCounts(V, 7, BUCKETS), HashedCounts(V, 7, BUCKETS)
    whole.add(tokens)
    for at in range(0, len(tokens), 100):
        pieces.add(tokens[at : at + 100], history=tokens[max(0, at - 6) : at])
    assert pieces.sha256() == whole.sha256() and pieces.total == whole.total == len(tokens)


def test_merging_and_subtracting_are_exact() -> None:
    a, b = counted(1), counted(2)
    both = a.merge(b)
    assert both.sha256() == b.merge(a).sha256() != a.sha256()
    assert both.subtract(b).sha256() == a.sha256() and both.subtract(b).total == a.total
    with pytest.raises(NgramError, match="was not counted"):
        a.subtract(both)
    with pytest.raises(NgramError, match="one config"):
        a.merge(counted(1, max_order=6))


def test_counts_above_16_bits_are_clipped_when_packed_and_only_then() -> None:
    counts = counted().repeated(10**6)
    assert counts.tables_N.max() > 65535
    loaded = HashedCounts.from_bytes(counts.to_bytes())
    assert loaded.tables_N.max() == 65535 and loaded.sha256() == counts.sha256()
    contexts = contexts_of(some_tokens(2, 60), 6)
    assert np.array_equal(HashedModel(loaded).probs(contexts), HashedModel(counts).probs(contexts))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HashedCounts(V, 1), "max_order is 1"),
        (lambda: HashedCounts(V, 17), "max_order is 17"),
        (lambda: HashedCounts(1, 7), "vocabulary size is 1"),
        (lambda: HashedCounts(V, 7, (64, 64)), "2 numbers of buckets"),
        (lambda: HashedCounts(V, 3, (64, 1)), "buckets are"),
        (lambda: counted().add(np.array([3, V])), f"token id {V}"),
        (lambda: counted().add(np.array([3, -1])), "token id -1"),
        (lambda: counted().add(np.array([3.0])), "float64"),
        (lambda: HashedModel(counted()).rows(np.full((2, 6), V)), f"token {V}"),
        (lambda: HashedModel(counted()).rows(np.zeros(6, np.int32)), "shape"),
        (
            lambda: HashedModel(counted()).published_scores(np.zeros((3, 6), np.int32), np.ones((2, V))),
            "base",
        ),
        (lambda: HashedModel(counted()).rows(np.zeros((3, 6), np.int32), np.empty((3, V))), "out is"),
    ],
)
def test_bad_input_is_one_sentence(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(NgramError, match=words):
        make()
