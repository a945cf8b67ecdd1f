"""Recent text: what followed earlier occurrences of the last tokens, against the plain words of its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from regrow.ngram.recent import LENGTHS, WEIGHT_BITS, Past, recent
from regrow.predict.mixture import Prefix
from regrow.training.batches import Part

BOS = 1


def followed(inputs: list[int], past: Past) -> list[list[int]]:
    """For each length the tokens after the newest occurrences, of this document alone."""
    text = [int(token) for token in inputs]
    begins = [i for i, token in enumerate(text) if token in (-1, BOS)]
    text = text[begins[-1] + 1 :] if begins else text
    now = len(text) - 1
    found: list[list[int]] = [[] for _ in range(LENGTHS)]
    for at in range(now - 1, max(-1, now - past.reach - 1), -1):
        same = max(
            n
            for n in range(LENGTHS + 1)
            if n <= at + 1 - max(0, now - past.reach) and text[at + 1 - n : at + 1] == text[now + 1 - n :][:n]
        )
        if same and len(found[same - 1]) < past.count:
            found[same - 1].append(text[at + 1])
    return found


def as_lists(tokens_K: NDArray[np.int32], weights_K: NDArray[np.int32]) -> list[list[int]]:
    """The tokens that have a weight, by length; those of a length share 1 equally, to a unit or two."""
    lists = []
    for tokens, weights in zip(np.split(tokens_K, LENGTHS), np.split(weights_K, LENGTHS), strict=True):
        given = weights > 0
        assert not given.any() or abs(int(weights.sum()) - (1 << WEIGHT_BITS)) <= given.sum()
        assert len(set(weights[given].tolist())) <= 1 and not tokens[~given].any()
        lists.append(tokens[given].tolist())
    return lists


@given(
    st.lists(st.integers(-1, 4), min_size=1, max_size=200),
    st.integers(1, 5), st.integers(1, 150), st.integers(1, 200),
)  # fmt: skip
def test_it_is_what_the_definition_says(text: list[int], count: int, reach: int, positions: int) -> None:
    """Few tokens, so that much repeats itself, in documents and in texts that begin late, over several blocks."""
    past, positions = Past(count, reach, BOS), min(positions, len(text))
    inputs_SH = np.array([text, text[::-1]], np.int32)
    found = recent(inputs_SH, positions, past)
    for r in range(2 * positions):
        s, t = divmod(r, positions)
        seen = inputs_SH[s, : len(text) - positions + t + 1].tolist()
        expected = followed(seen, past) if seen[-1] not in (-1, BOS) else [[]] * LENGTHS
        assert as_lists(found.tokens_RK[r], found.weights_RK[r]) == expected
        alone = recent(inputs_SH[s : s + 1, max(0, len(seen) - 1 - reach) : len(seen)], 1, past)
        assert np.array_equal(alone.tokens_RK[0], found.tokens_RK[r])  # whatever else is there


@given(st.lists(st.integers(1, 5), min_size=33, max_size=100), st.integers(1, 40))
def test_a_window_in_training_sees_the_past_that_a_stream_would(text: list[int], reach: int) -> None:
    """The same tokens before it, within the document, wherever the window begins."""
    tokens, T, past = np.array([BOS, *text], np.uint16), 8, Past(3, reach, BOS)
    part = Part(tokens, T, BOS)
    windows = np.arange(len(tokens) // T)
    of_part = recent(part.inputs(windows, reach), T, past)
    prefix, stream = Prefix(1, 0, BOS, reach), tokens[None].astype(np.int64)
    prefix.extend(stream[:, 1:T])
    for i in windows[1:].tolist():
        known = prefix.read(stream[:, i * T : i * T + T])
        for mine, theirs in zip(of_part, recent(known.whole_SH, T, past), strict=True):
            np.testing.assert_array_equal(mine[i * T : i * T + T], theirs)
