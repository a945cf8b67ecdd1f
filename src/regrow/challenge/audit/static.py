"""Entry of the static audit: every rule over every file that a script reaches, without running a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from regrow.challenge.audit.finding import Finding, asked, crashed
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import Rule
from regrow.challenge.audit.rules import RULES
from regrow.challenge.audit.source.folder import Folder

_PROBLEMS = {
    "too-deep": "The source nests too deeply to be followed from here on",
    "too-long": "The source is too long to be followed from here on",
    "too-many-calls": "Calls inside calls are followed only so far, and end here",
    "too-many-events": "The script does more than the audit follows, and it stopped here",
}


def static_findings(path: Path | Folder) -> list[Finding]:
    """Read a script or a submission folder and return what its source shows, gravest first.

    Never raises over what the source contains: a file that cannot be read is a finding, and so is a rule
    that crashes.

    Args:
        path: a Python file, or a folder that holds one submission.
    """
    return list(asked("source", Path(str(path)), lambda: program_findings(Program.read(path))))


def switched_off(path: Path | Folder, headline: float) -> list[Finding]:
    """What the source shows once no switch is taken for off: for a headline that the default path cannot have made.

    Only findings that would flag a submission are kept, with medium confidence at most: which switches were on,
    nobody says.

    Args:
        path: the submission's folder.
        headline: the figure claimed, bits per byte.
    """
    try:
        found = program_findings(Program.read(path, every_branch=True))
    except Exception as error:
        return [crashed("source", Path(str(path)), error)]
    note = (
        f" (Default settings leave this off. They do not lead to the {headline} that is claimed, and no log or "
        "command says what does.)"
    )
    return [
        msgspec.structs.replace(f, confidence="medium", message=f.message + note)
        for f in found
        if f.severity == "high" and f.confidence != "low"
    ]


def program_findings(program: Program, rules: Sequence[Rule] = RULES) -> list[Finding]:
    """Findings of some rules over a program that has been read."""
    root = program.sources.root
    # Where the walk itself fails, the rules that do not need it run.
    findings = {*program.sources.findings, *asked("flow", root, lambda: _not_followed(program))}
    for rule in rules:
        findings.update(asked(rule.id, root, partial(rule.check, program)))
    return sorted(findings, key=Finding.sort_key)


def _not_followed(program: Program) -> Iterator[Finding]:
    """What the walk did not follow."""
    for (what, _), spot in program.flow.problems.items():
        text = f"{_PROBLEMS[what]}; what it does beyond that was not judged."
        yield Finding("not-followed", "medium", "high", spot.file, spot.line, text, "")
