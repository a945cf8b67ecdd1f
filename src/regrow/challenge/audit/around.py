"""The source around findings, read again for the page: a finding itself quotes its lines alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.source.folder import read_folder
from regrow.challenge.audit.source.reader import read_sources
from regrow.challenge.audit.source.text import printable
from regrow.challenge.audit.verdict import Audit

_REACH = 4  # lines before and after
_WIDTH = 180  # characters; what is longer is cut, and then the evidence shows the place


class SourceLine(NamedTuple):
    """One line; `mark`: "here" where the finding is, "step" where its evidence has a step, else empty."""

    number: int
    text: str
    mark: str


class Around(NamedTuple):
    """The lines around a finding, and the lines of its evidence that are not among them."""

    lines: list[SourceLine]
    evidence: list[str]


def source_around(audit: Audit) -> dict[Finding, Around]:
    """What surrounds each finding; one without a line, or in a file that is no longer there, has its evidence alone."""
    return {finding: _around(finding, lines) for finding, lines in _sources(audit).items()}


def _sources(audit: Audit) -> dict[Finding, list[str]]:
    """The lines of each finding's file."""
    placed = [finding for finding in audit.findings if finding.line]
    found: dict[Finding, list[str]] = {finding: [] for finding in audit.findings}
    try:
        folder = read_folder(Path(audit.path)) if placed else None
        if folder is None:
            return found
        hidden = read_sources(folder).units if any("!" in finding.file for finding in placed) else []
        layers = {str(folder.root / unit.name): unit.lines for unit in hidden}
        for finding in placed:
            path = Path(finding.file)
            text = folder.text(path)[0].split("\n") if path in folder.files else []
            found[finding] = layers.get(finding.file, text)
    except OSError:
        pass
    return found


def _around(finding: Finding, source: list[str]) -> Around:
    evidence = finding.evidence.splitlines()
    line = finding.line or 0
    if not 0 < line <= len(source):
        return Around([], evidence)
    steps = dict(step.split(": ", 1) for step in evidence if ": " in step)
    first = max(1, line - _REACH)
    shown = [printable(text.expandtabs(4)).rstrip() for text in source[first - 1 : line + _REACH]]
    margin = min((len(text) - len(text.lstrip()) for text in shown if text), default=0)
    lines, seen = [], set()
    for number, text in enumerate(shown, first):
        step = steps.get(str(number), "")
        is_step = bool(step) and step in text[: margin + _WIDTH]
        if is_step:
            seen.add(f"{number}: {step}")
        mark = "here" if number == line else "step" if is_step else ""
        cut = text[margin : margin + _WIDTH] + (" …" if len(text) > margin + _WIDTH else "")
        lines.append(SourceLine(number, cut, mark))
    return Around(lines, [step for step in evidence if step not in seen])
