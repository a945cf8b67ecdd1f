"""Threads in turn: their order, and what an error in one of them does to the others."""

from __future__ import annotations

import threading
import time

import pytest

from regrow.predict.turns import Turns


def test_turns_come_in_order_whoever_is_ready_first() -> None:
    turns, seen = Turns(3), list[tuple[int, int]]()

    def work(n: int) -> None:
        for step in range(20):
            time.sleep(0.001 * ((n + step) % 3))
            with turns.mine(n):
                seen.append((step, n))

    turns.run(work)
    assert seen == [(step, n) for step in range(20) for n in range(3)]


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("inside", [True, False])
def test_an_error_of_one_thread_ends_all_and_is_raised(failing: int, inside: bool) -> None:
    turns, steps, before = Turns(3), [0, 0, 0], threading.active_count()

    def work(n: int) -> None:
        for step in range(1000):
            if n == failing and step == 5 and not inside:
                raise ValueError("outside")
            with turns.mine(n):
                if n == failing and step == 5:
                    raise ValueError("inside")
            steps[n] += 1

    with pytest.raises(ValueError, match="inside" if inside else "outside"):
        turns.run(work)
    assert steps[failing] == 5 and max(steps) <= 6
    assert threading.active_count() == before
