"""How long a run has trained, the same in all its processes."""

from __future__ import annotations

import time

from regrow.core.dist import ProcessGroup


class Clock:
    """Training time as rank 0 measures it, on from `elapsed`; it begins to run with step `start`."""

    def __init__(self, elapsed: float, communication: float, start: int, group: ProcessGroup) -> None:
        self._elapsed, self._communication, self._start, self._group = elapsed, communication, start, group
        self._began = time.perf_counter()
        self._since: float | None = None
        self._communication_before = 0.0

    @property
    def warm_up(self) -> float:
        """Seconds that passed before it ran."""
        return (time.perf_counter() if self._since is None else self._since) - self._began

    @property
    def runs(self) -> bool:
        """Whether the steps that warm up are over."""
        return self._since is not None

    def step(self, step: int) -> None:
        """A step is done."""
        if step == self._start:
            self._since, self._communication_before = time.perf_counter(), self._group.traffic.seconds

    def reading(self) -> tuple[float, float]:
        """Seconds of training, and communication seconds among them; 0 on all ranks but 0, so sums are rank 0's."""
        if not self._group.is_first:
            return 0.0, 0.0
        if self._since is None:
            return self._elapsed, self._communication
        passed = time.perf_counter() - self._since
        return (
            self._elapsed + passed,
            self._communication + self._group.traffic.seconds - self._communication_before,
        )
