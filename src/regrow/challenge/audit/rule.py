"""A rule: one way a figure can be wrong, and how to see it in source.

Each rule has a page of its own under `docs/audit/rules/` and examples under `tests/fixtures/audit/`, in a folder of
its id: a test flags every bad one and clears its mended twin.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regrow.challenge.audit.finding import Confidence, Finding, Severity
from regrow.challenge.audit.source.unit import Spot

if TYPE_CHECKING:
    from regrow.challenge.audit.flow.domain import Event
    from regrow.challenge.audit.program import Program


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """What every rule says of itself.

    Attributes:
        id: stable identifier, words joined by hyphens; also the name of its file, its page and its examples.
        title: one line for tables.
        why: why it matters, as a reviewer would explain it to the author.
        breaks: numbers of the four conditions (docs/audit/rules/README.md) that it breaks; empty for accounting.
        severity: severity of a finding whose flow is established.
        confidence: confidence of such a finding (a rule may say less).
        clears: what would clear a finding.
        cases: numbers of the known ways (`kinds.KINDS`) that this rule is about.
    """

    id: str
    title: str
    why: str
    breaks: tuple[int, ...]
    severity: Severity
    confidence: Confidence
    clears: str
    cases: tuple[int, ...]

    @abstractmethod
    def check(self, program: Program) -> Iterator[Finding]:
        """Read the program and yield findings; nothing of it is ever executed."""


@dataclass(frozen=True, kw_only=True)
class SourceRule(Rule):
    """A rule with a search of its own.

    Attributes:
        search: yields the findings of a program.
    """

    search: Callable[[Program], Iterator[Finding]]

    def check(self, program: Program) -> Iterator[Finding]:
        """Whatever the search yields."""
        return self.search(program)


@dataclass(frozen=True, kw_only=True)
class EventRule(Rule):
    """A rule that judges events of one kind, one by one.

    Attributes:
        kind: the kinds of event, in one word each.
        when: whether an event is one to speak about.
        message: what a finding says of an event.
        sure: how well an event establishes the finding.
        shows: tags whose first places the evidence quotes before the event's own.
        at: the place of the finding, where it is not the event's.
        once: what events share that make one finding together.
        rank: which of them speaks, the smallest; of equals, the earliest.
        besides: a search for the same fault in what the walk does not follow.
    """

    kind: str
    when: Callable[[Event], bool]
    message: str | Callable[[Event], str]
    sure: Callable[[Event], Confidence]
    shows: tuple[int, ...] = ()
    at: Callable[[Event], Spot | None] = lambda event: event.spot
    once: Callable[[Event], Any] = lambda event: (event.spot.file, event.spot.line)
    rank: Callable[[Event], Any] = lambda event: event.dormant
    besides: Callable[[Program], Iterator[Finding]] | None = None

    def check(self, program: Program) -> Iterator[Finding]:
        """One finding for each place."""
        judged = [e for e in program.flow.events if e.kind in self.kind.split() and self.when(e)]
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
