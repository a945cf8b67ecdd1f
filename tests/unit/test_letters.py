"""Letters under the predictor: classes of tokens, and how many letters the text ends with."""

from __future__ import annotations

import numpy as np

from regrow.predict.adaptive.letters import CLASS, CLASSES, LENGTH, LONG, RUN, WORD, Letters, class_of
from regrow.predict.adaptive.recent_counts import RecentCounts

PIECES = [b"\x00", b"", b" The", b"re", b".", b" ", b"abcdefgh", b"tHE", b"\xc3", b"\xa9"]


def after(*tokens: int) -> list[int]:
    """The state of a stream of these tokens."""
    counts = RecentCounts(1, 2, 1 << 12, Letters.of(PIECES, 1))
    for token in tokens:
        counts.add(np.array([token]))
    state: list[int] = counts.letters.state_S4[0].tolist()
    return state


def test_a_token_is_of_the_class_of_its_last_byte() -> None:
    ends = (b"", b"Ab", b"aB", b"a1", b"a ", b"a\n", b"a.", b"a\xa9", b"a,")
    assert len({class_of(end) for end in ends}) == len(ends) == CLASSES
    assert class_of(b"\r") == class_of(b"\n") and class_of(b"!") == class_of(b"?") == class_of(b".")
    assert {class_of(bytes([b])) for b in range(256)} == set(range(1, CLASSES))


def test_one_word_is_one_run_however_it_is_spelled_in_tokens() -> None:
    assert after(2)[RUN] == after(5, 7)[RUN] == after(4, 7)[RUN] != after(2, 3)[RUN]
    assert after(8, 9)[RUN] not in (0, after(8)[RUN])  # a letter of two tokens


def test_a_run_ends_with_what_is_no_letter_and_is_then_the_word_before() -> None:
    run = after(2, 3)[RUN]
    assert after(2, 3, 4)[:3] == after(2, 3, 4, 5, 4)[:3] == [0, run, 0]
    assert after(2, 3, 4, 2)[WORD] == run and after(2, 3)[WORD] == 0


def test_letters_are_counted_up_to_long_and_a_token_without_bytes_adds_none() -> None:
    assert after()[LENGTH] == 0 and after(2)[LENGTH] == after(2, 1)[LENGTH] == 3
    assert after(2, 3)[LENGTH] == 5 and after(2, 6)[LENGTH] == LONG
    assert after(2, 1)[CLASS] == 0 != after(2)[CLASS]
