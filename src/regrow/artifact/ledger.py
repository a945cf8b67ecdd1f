"""The ledger: an artifact's size by component, and the total against the byte budget."""

from __future__ import annotations

from regrow.core.errors import BudgetError


class Ledger:
    """Components and their bytes, in the order they were added."""

    def __init__(self) -> None:
        self._parts: dict[str, int] = {}

    @classmethod
    def of(cls, payloads: dict[str, bytes], weights: dict[str, int], file_bytes: int) -> Ledger:
        """The ledger of a file of `file_bytes`: `weights` are the bytes of the weights payload by component; what is
        no payload is the manifest with the container's header."""
        ledger = cls()
        for component, n in weights.items():
            ledger.add(component, n)
        for name in ("memory", "tokenizer", "mixer"):
            ledger.add(name, len(payloads[name]))
        ledger.add("manifest", file_bytes - sum(map(len, payloads.values())))
        ledger.add("base", 0)
        return ledger

    def add(self, component: str, n: int) -> None:
        """Give `n` more bytes to `component`; one of 0 bytes is listed too. ValueError if `n` is negative."""
        if n < 0:
            raise ValueError(f"{component}: {n} bytes is less than none")
        self._parts[component] = self._parts.get(component, 0) + n

    @property
    def total(self) -> int:
        """Bytes of all components."""
        return sum(self._parts.values())

    def parts(self) -> dict[str, int]:
        """A copy of component -> bytes."""
        return dict(self._parts)

    def check(self, budget: int) -> None:
        """Raise BudgetError, naming the largest components, if the total is over `budget` decimal bytes."""
        over = self.total - budget
        if over <= 0:
            return
        largest = sorted(self._parts.items(), key=lambda part: -part[1])
        takers = ", ".join(f"{component} {n:,}" for component, n in largest if n)
        raise BudgetError(
            f"the artifact would be {self.total:,} bytes, {over:,} over pack.budget_bytes = {budget:,} "
            f"({takers}); raise the budget or shrink the largest part."
        )
