"""The ledger: every byte has an owner, and over budget says who took the bytes."""

from __future__ import annotations

import pytest

from regrow.artifact.ledger import Ledger
from regrow.core.errors import BudgetError


def ledger() -> Ledger:
    made = Ledger()
    made.add("adapters", 900)
    made.add("memory", 3_000_000)
    made.add("base", 0)
    made.add("memory", 24)
    return made


def test_parts_sum_to_the_total_in_the_order_they_came() -> None:
    assert list(ledger().parts().items()) == [("adapters", 900), ("memory", 3_000_024), ("base", 0)]
    assert ledger().total == sum(ledger().parts().values())


def test_the_last_byte_of_the_budget_may_be_used_and_none_more() -> None:
    ledger().check(ledger().total)
    with pytest.raises(BudgetError):
        ledger().check(ledger().total - 1)


def test_over_budget_says_by_how_much_and_what_takes_the_bytes_largest_first() -> None:
    with pytest.raises(BudgetError) as caught:
        ledger().check(3_000_000)
    message = str(caught.value)
    assert "924 over" in message and "3,000,000" in message
    assert message.index("memory 3,000,024") < message.index("adapters 900")
    assert "base" not in message and "\n" not in message
    assert caught.value.exit_code == 1


def test_a_part_cannot_take_bytes_back() -> None:
    with pytest.raises(ValueError, match="memory"):
        ledger().add("memory", -1)


def test_parts_are_a_copy() -> None:
    made = ledger()
    made.parts()["memory"] = 0
    assert made.parts()["memory"] == 3_000_024
