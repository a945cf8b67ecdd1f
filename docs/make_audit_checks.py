"""Write docs/audit/checks.md and docs/audit/kinds.md: `python docs/make_audit_checks.py`. Tests compare."""

from __future__ import annotations

from pathlib import Path

from regrow.challenge.audit.index import NOTES
from regrow.challenge.audit.kinds import KINDS
from regrow.challenge.audit.probe import PROBES
from regrow.challenge.audit.record.artifact_record import CHECK
from regrow.challenge.audit.record.checks import CHECKS
from regrow.challenge.audit.rules import RULES

PAGE = Path(__file__).with_name("audit") / "checks.md"
HEAD = """# Record checks, probes and notes

This page is made by `python docs/make_audit_checks.py`; change the checks, not the page. The rules that read
source have [pages of their own](rules/README.md).

## Checks of a record
Questions to submission.json, the README, the logs and the sizes of a folder.
[What they compare with](limits.md#the-record-checks).
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [HEAD]
    for check in (*CHECKS, CHECK):
        parts.append(f"### `{check.id}`: {check.title}\n\n{check.why}\n\n*To clear:* {check.clears}\n")
    parts.append(
        "## Probes\nQuestions to a running scorer. [How to write the shim that drives it](shim.md).\n"
    )
    for probe in PROBES:
        breaks = ", ".join(map(str, probe.breaks))
        broken = f" Breaks condition {breaks}." if breaks else ""
        parts.append(
            f"### `{probe.id}`: {probe.title}\n\n{probe.why}{broken}\n\n*To clear:* {probe.clears}\n"
        )
    parts.append("## Notes\nFindings about the audit itself: what it could not read, follow or judge.\n")
    parts += [f"### `{note.id}`: {note.title}\n\n{note.why}\n\n*To clear:* {note.clears}\n" for note in NOTES]
    return "\n".join(parts)


KINDS_HEAD = """# The 26 ways to be wrong, and what speaks about each

This page is made by `python docs/make_audit_checks.py` from the rules, checks and probes. *Spellings* are pairs of
scripts under `tests/fixtures/audit/`: the bad one is flagged by the rule whose folder it lies in, and its mended
twin, which differs only in the fix, has nothing above low; the pair `example` also stands on the rule's page. Record
checks have their examples in `tests/unit/auditing_dynamic/test_record_checks.py`, probes in `test_probes.py`.

| kind | what was done | static rules | record checks | probes | spellings |
| --- | --- | --- | --- | --- | --- |
"""


def spellings(rule: str) -> list[str]:
    """Names of a rule's fixture pairs."""
    folder = PAGE.parents[2] / "tests" / "fixtures" / "audit" / rule
    return sorted(path.stem.removesuffix("_bad") for path in folder.glob("*_bad.py"))


def kinds_page() -> str:
    """The table of kinds as Markdown."""
    rows = []
    for kind in KINDS:
        rules = [rule.id for rule in RULES if kind.number in rule.cases]
        cells = [
            str(kind.number),
            kind.what,
            ", ".join(f"[{rule}](rules/{rule}.md)" for rule in rules),
            ", ".join(f"`{check}`" for check in kind.checks),
            ", ".join(f"`{probe}`" for probe in kind.probes),
            ", ".join(name.replace("_", " ") for rule in rules for name in spellings(rule)),
        ]
        rows.append("| " + " | ".join(cell or "-" for cell in cells) + " |\n")
    return KINDS_HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PAGE.with_name("kinds.md").write_text(kinds_page(), encoding="utf-8")
