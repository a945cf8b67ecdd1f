"""The texts of one submission: parsed Python, C, notes and logs, and findings about what could not be read."""

from __future__ import annotations

import ast
import platform
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from regrow.challenge.audit.finding import Confidence, Finding, Severity
from regrow.challenge.audit.source.newer import older_syntax
from regrow.challenge.audit.source.unit import Role, Unit

#: A longer source, literals left out, is not analysed.
MAX_SOURCE_CHARS = 1_500_000

_STRING = re.compile(r"'[^'\n]{400,}'|\"[^\"\n]{400,}\"")


@dataclass
class Sources:
    """Every unit of one submission, texts in other languages, and what could not be read.

    Attributes:
        root: the submission's folder.
        units: parsed Python texts; files that no script reaches are parsed only where a rule asks for them.
        foreign: C and C++ files by name.
        notes: README, shell scripts and submission.json by name.
        findings: what could not be read.
        logs: lines of the logs, stripped, each after a newline.
        unread: Python files not parsed so far, by name.
    """

    root: Path
    units: list[Unit] = field(default_factory=list)
    foreign: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    logs: str = ""
    unread: dict[str, str] = field(default_factory=dict)

    def report(
        self,
        rule: str,
        level: tuple[Severity, Confidence],
        file: str,
        line: int | None,
        message: str,
        text: str = "",
    ) -> None:
        """Add a finding about reading itself."""
        self.findings.append(Finding(rule, *level, file, line, message, text))

    def unreadable(
        self, file: str, message: str, line: int | None = None, severity: Severity = "medium"
    ) -> None:
        """Say that a file, or a part of it, was not judged."""
        self.report("unreadable-source", (severity, "high"), file, line, message)


def add_unit(
    sources: Sources, name: str, module: str, text: str, role: Role = "aside", quiet: bool = False
) -> Unit | None:
    """Parse one text; a failure is a finding. Returns the unit, or None where it cannot be parsed."""
    if "\0" in text:
        sources.unreadable(name, "The source holds null bytes; Python would refuse it.")
        text = text.replace("\0", "")
    if len(text) > MAX_SOURCE_CHARS and len(_STRING.sub("''", text)) > MAX_SOURCE_CHARS:
        sources.unreadable(
            name,
            f"The source has {len(text):,} characters of code, too many to analyse; nothing in it was judged.",
        )
        return None
    try:
        tree = parse(text)
    except SyntaxError as error:
        if not quiet:
            version = ".".join(platform.python_version_tuple()[:2])
            sources.unreadable(name, f"Python {version} cannot parse this file: {error.msg}.", error.lineno)
        return None
    except (ValueError, RecursionError, MemoryError) as error:
        sources.unreadable(name, f"The source nests too deeply to parse ({type(error).__name__}).")
        return None
    unit = Unit(name, module, text, tree, role, text.split("\n"))
    sources.units.append(unit)
    return unit


def parse(text: str) -> ast.Module:
    """The syntax tree of a source, also of one written for a newer Python than this.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `ast.parse` does; the first is of the text as it is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except SyntaxError as error:
            try:
                return ast.parse(older_syntax(text))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                raise error from None
