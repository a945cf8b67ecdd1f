"""Promises of the counts of recent text: what they keep, and how much."""

from __future__ import annotations

import re
from typing import TypeAlias

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.vocabularies import pieces_of

from regrow.predict.adaptive.letters import Letters
from regrow.predict.adaptive.recent_counts import (
    FADE_OWN,
    FADE_SHARED,
    NODE_DISTINCT,
    NODE_HEAD,
    NODE_TOTAL,
    PAIR_COUNT,
    PAIR_MET,
    PAIR_NEXT,
    PAIR_TOKEN,
    RecentCounts,
)

Summary: TypeAlias = list[tuple[float, list[tuple[int, int, float]]]]  # by context: its total, its pairs


class PlainCounts:
    """What `RecentCounts` keeps, in dictionaries."""

    def __init__(self, streams: int, orders: int, pieces: list[bytes]) -> None:
        self.orders, self.pieces = orders, pieces
        self.context: list[list[int]] = [[] for _ in range(streams)]
        self.counts: dict[tuple[object, ...], dict[int, tuple[float, int]]] = {}

    def words(self, s: int) -> list[str]:
        """The text's runs of letters, the last of them empty where the text does not end with one."""
        text = b"".join(self.pieces[token] for token in self.context[s])
        return re.split("[^a-z\x80-\xff]+", text.decode("latin-1").lower()) if text else [""]

    def contexts(self, s: int) -> list[tuple[object, ...]]:
        runs = self.words(s)
        found: list[tuple[object, ...]] = [
            tuple(self.context[s][-k:]) for k in range(1, min(self.orders, len(self.context[s])) + 1)
        ]
        if any(runs):
            found += [("run", runs[-1]), ("runs", *[""] * (len(runs) < 2), *runs[-2:])]
        return found

    def add(self, tokens: list[int]) -> None:
        for s, token in enumerate(tokens):
            if token < 0:
                continue
            for owner, fade in ((-1, FADE_SHARED), (s, FADE_OWN)):
                for context in self.contexts(s):
                    after = self.counts.setdefault((owner, *context), {})
                    for other in after:
                        after[other] = (after[other][0] * fade, after[other][1])
                    count, met = after.get(token, (0.0, 0))
                    after[token] = (count + 1, met + 1)
            self.context[s].append(token)

    def summary(self) -> Summary:
        return sorted(
            (
                round(sum(n for n, _ in after.values()), 3),
                sorted((t, met, round(n, 3)) for t, (n, met) in after.items()),
            )
            for after in self.counts.values()
        )


def summary(counts: RecentCounts) -> Summary:
    tables = counts.tables
    nodes, totals, pairs, faded = tables.node_N4, tables.total_N4, tables.pair_E4, tables.count_E4
    found = []
    for node in range(int(tables.used_2[0])):
        after = []
        entry = int(nodes[node, NODE_HEAD])
        while entry >= 0:
            token, met = int(pairs[entry, PAIR_TOKEN]), int(pairs[entry, PAIR_MET])
            after.append((token, met, round(float(faded[entry, PAIR_COUNT]), 3)))
            entry = int(pairs[entry, PAIR_NEXT])
        assert len(after) == nodes[node, NODE_DISTINCT]
        found.append((round(float(totals[node, NODE_TOTAL]), 3), sorted(after)))
    return sorted(found)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(-1, 13), min_size=3, max_size=3), min_size=1, max_size=60),
    st.integers(1, 4),
)
def test_recent_counts_are_what_dictionaries_keep(steps: list[list[int]], orders: int) -> None:
    """Of tokens that are words, ends, signs, upper case, no text, and nothing."""
    pieces = pieces_of(14)
    counts = RecentCounts(3, orders, 1 << 12, Letters.of(pieces, 3))
    plain = PlainCounts(3, orders, pieces)
    for tokens in steps:
        counts.add(np.array(tokens))
        plain.add(tokens)
    got, expected = summary(counts), plain.summary()
    assert len(got) == len(expected)
    for (total, after), (wanted, others) in zip(got, expected, strict=True):
        assert abs(total - wanted) < 0.01 and [pair[:2] for pair in after] == [pair[:2] for pair in others]


def test_without_letters_contexts_are_tokens_alone() -> None:
    counts = RecentCounts(1, 1, 1 << 12)
    for token in (3, 4, 3, 4):
        counts.add(np.array([token]))
    assert counts.tables.used_2.tolist() == [4, 4]  # shared and own, after 3 and after 4


def test_memory_of_a_long_text_stays_bounded_and_holds_its_newest_part() -> None:
    counts = RecentCounts(2, 3, 400, Letters.of(pieces_of(50), 2))
    rng = np.random.Generator(np.random.PCG64(1))
    sizes = []
    for _ in range(2000):
        counts.add(rng.integers(0, 50, 2))
        sizes.append(counts.nbytes)
    assert counts.tokens <= 200
    assert max(sizes[1000:]) == max(sizes[:1000])
    again = RecentCounts(2, 3, 400, Letters.of(pieces_of(50), 2))
    for old_S in counts._history:
        again.add(old_S)
    assert summary(again) == summary(counts)
