"""A program under audit: its sources, and the walk over them, made once and shared by every rule."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from regrow.challenge.audit.finding import Confidence, Finding, Severity
from regrow.challenge.audit.flow.ordering import Ordering
from regrow.challenge.audit.flow.state import Trace
from regrow.challenge.audit.flow.walk import follow
from regrow.challenge.audit.source.folder import Folder
from regrow.challenge.audit.source.reader import read_sources
from regrow.challenge.audit.source.settings import from_commands, from_logs, proven, without_source
from regrow.challenge.audit.source.sources import Sources, add_unit
from regrow.challenge.audit.source.unit import Spot, Unit

_DORMANT = " (In a branch that the default settings do not take, or a function that nothing calls.)"


class Program:
    """What the rules look at.

    Attributes:
        sources: units, texts in other languages, notes (README, shell scripts) and findings about reading.
        every_branch: take no switch for off because it is off by default.
    """

    def __init__(self, sources: Sources, every_branch: bool = False) -> None:
        self.sources, self.every_branch = sources, every_branch

    @classmethod
    def read(cls, where: Path | Folder, every_branch: bool = False) -> Program:
        """Read a script or a submission folder, or take one that was listed before."""
        return cls(read_sources(where), every_branch)

    @property
    def units(self) -> list[Unit]:
        """Units that the script reaches, entries first."""
        return [u for u in self.sources.units if u.role != "aside"]

    def asides(self, *patterns: re.Pattern[str]) -> list[Unit]:
        """Units whose text matches every pattern, files that no script reaches included."""
        unread = self.sources.unread
        for name, text in list(unread.items()):
            if all(p.search(text) for p in patterns):
                add_unit(self.sources, name, Path(name).stem, unread.pop(name), "aside", quiet=True)
        return [u for u in self.sources.units if all(p.search(u.text) for p in patterns)]

    @cached_property
    def _logs(self) -> str:
        return without_source(self.sources.logs, self.units)

    @cached_property
    def environment(self) -> dict[str, str | None]:
        """Environment variables that logs or run commands of the submission show; None where they disagree."""
        return from_commands(self.sources.notes) | from_logs(self._logs, self.units)

    @cached_property
    def flow(self) -> Trace:
        """What the walk over it leaves; made on first use."""
        shown = proven(self._logs, self.units)
        return follow(self.units, self.environment, self._logs, shown, self.every_branch)

    @cached_property
    def order(self) -> Ordering:
        """The order of scoring and learning in it."""
        return Ordering(self)

    def unit(self, name: str) -> Unit | None:
        """A unit by the name that findings use."""
        return next((u for u in self.sources.units if u.name == name), None)

    def quote(self, *spots: Spot | None) -> str:
        """The quoted lines of several places, each once, in order."""
        found = ((self.unit(s.file), s) for s in spots if s is not None)
        return "\n".join(dict.fromkeys(f"{s.line}: {u.quote(s.line, s.column)}" for u, s in found if u))

    def finding(
        self,
        rule: str,
        severity: Severity,
        confidence: Confidence,
        spot: Spot,
        message: str,
        *more: Spot | None,
        dormant: bool = False,
    ) -> Finding:
        """A finding at a place; one in a path that default settings do not take is only a note."""
        if dormant:
            severity, confidence, message = "low", "low", message + _DORMANT
        return Finding(rule, severity, confidence, spot.file, spot.line, message, self.quote(*more, spot))
