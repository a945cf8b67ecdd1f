"""The ledger: every byte of an artifact has an owner, and the whole is held against a byte budget."""

from __future__ import annotations

from regrow.core.errors import BudgetError


class Ledger:
    """Owners and their bytes, in the order they were added."""

    def __init__(self) -> None:
        self._parts: dict[str, int] = {}

    def add(self, owner: str, n: int) -> None:
        """Give `n` more bytes to `owner`; one of 0 bytes is listed too. ValueError if `n` is negative."""
        if n < 0:
            raise ValueError(f"{owner}: {n} bytes is less than none")
        self._parts[owner] = self._parts.get(owner, 0) + n

    @property
    def total(self) -> int:
        """Bytes of all owners together."""
        return sum(self._parts.values())

    def parts(self) -> dict[str, int]:
        """A copy of owner -> bytes."""
        return dict(self._parts)

    def check(self, budget: int) -> None:
        """Raise BudgetError, saying what takes the bytes, if the total is over `budget` decimal bytes."""
        over = self.total - budget
        if over <= 0:
            return
        largest = sorted(self._parts.items(), key=lambda part: -part[1])
        takers = ", ".join(f"{owner} {n:,}" for owner, n in largest if n)
        raise BudgetError(
            f"the artifact would be {self.total:,} bytes, {over:,} over pack.budget_bytes = {budget:,} "
            f"({takers}); raise the budget or shrink the largest part."
        )
