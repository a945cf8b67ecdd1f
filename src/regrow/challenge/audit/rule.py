"""A rule: one way a figure can be wrong, and how to see it in source.

Each rule has a page of its own under `docs/audit/rules/` and examples under `tests/fixtures/audit/`, in a folder of
its id: a test flags every bad one and clears its mended twin.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regrow.challenge.audit.finding import Confidence, Described, Finding, Severity
from regrow.challenge.audit.source.unit import Spot

if TYPE_CHECKING:
    from regrow.challenge.audit.flow.domain import Event
    from regrow.challenge.audit.program import Program


@dataclass(frozen=True, kw_only=True)
class Rule(Described, ABC):
    """What every rule says of itself; its id is also the name of its file, its page and its examples."""

    severity: Severity  # of a finding whose flow is established
    confidence: Confidence  # of such a finding; a rule may say less

    @abstractmethod
    def check(self, program: Program) -> Iterator[Finding]:
        """Read the program and yield findings; nothing of it is ever executed."""


@dataclass(frozen=True, kw_only=True)
class SourceRule(Rule):
    """A rule with a search of its own."""

    search: Callable[[Program], Iterator[Finding]]

    def check(self, program: Program) -> Iterator[Finding]:
        """Whatever the search yields."""
        return self.search(program)


@dataclass(frozen=True, kw_only=True)
class EventRule(Rule):
    """A rule that judges events of one kind, one by one."""

    kind: str  # the kinds of event, in one word each
    when: Callable[[Event], bool]  # whether an event is one to report
    message: str | Callable[[Event], str]  # what a finding says of an event
    sure: Callable[[Event], Confidence]  # how well an event establishes the finding
    shows: tuple[int, ...] = ()  # tags whose first places the evidence quotes before the event's own
    at: Callable[[Event], Spot | None] = lambda e: e.spot  # the place of the finding
    once: Callable[[Event], Any] = lambda e: (e.spot.file, e.spot.line)  # what one finding is made for
    rank: Callable[[Event], Any] = lambda e: e.dormant  # then the smallest is reported, or the first
    besides: Callable[[Program], Iterator[Finding]] | None = None  # a search in what the walk does not follow

    def check(self, program: Program) -> Iterator[Finding]:
        """One finding for each place."""
        judged = filter(self.when, program.flow.of(*self.kind.split()))
        chosen: dict[Any, Event] = {}
        for event in sorted(judged, key=self.rank):
            chosen.setdefault(self.once(event), event)
        for event in chosen.values():
            yield program.finding(
                self.id, self.severity, self.sure(event), self.at(event) or event.spot,
                self.message if isinstance(self.message, str) else self.message(event),
                *(event.value.spot(tag) for tag in self.shows), event.spot, dormant=event.dormant,
            )  # fmt: skip
        if self.besides is not None:
            yield from self.besides(program)
