"""Write docs/audit/checks.md from record checks and probes: `python docs/make_audit_checks.py`. A test compares."""

from __future__ import annotations

from pathlib import Path

from regrow.auditing.accounting import CHECKS
from regrow.auditing.artifact_record import CHECK
from regrow.auditing.probes import PROBES

PAGE = Path(__file__).with_name("audit") / "checks.md"
HEAD = """# Record checks and probes

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
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
