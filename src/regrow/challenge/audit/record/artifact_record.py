"""A regrow artifact as a record: is it the container it says it is, has every byte an owner, does it keep its budget?

`regrow.artifact.container` refuses a file with a byte out of place or a hash that does not fit; nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regrow.artifact.container import read_artifact
from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.checks.sizes import LIMIT
from regrow.challenge.audit.record.records import Check, Record, number
from regrow.core.errors import RegrowError


def artifact_findings(path: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and account of an artifact.

    Args:
        path: the file; it need not be an artifact at all.
    """
    size = path.stat().st_size
    account: dict[str, Any] = {"bytes": {"total": size, "limit": LIMIT}}
    try:
        held = read_artifact(path)
    except RegrowError as error:
        return [CHECK.finding("high", "high", (path, None), str(error), "")], account
    account["bytes"] |= {name: len(payload) for name, payload in held.payloads.items()}
    account["bytes"]["manifest"] = size - sum(map(len, held.payloads.values()))
    account["sha256"] = held.sha256
    account["config"] = held.manifest.get("config")
    return list(_budget(path, size, held.manifest)), account


def _budget(path: Path, size: int, manifest: dict[str, Any]) -> Iterator[Finding]:
    config = manifest.get("config")
    pack = config.get("pack") if isinstance(config, dict) else None
    budget = number(pack.get("budget_bytes")) if isinstance(pack, dict) else None
    if budget and size > budget:
        message = f"The file has {size:,} bytes, over its own budget of {int(budget):,}."
        yield CHECK.finding("high", "high", (path, None), message, "")
    elif size > LIMIT:
        message = f"The file has {size:,} bytes, over the challenge's {LIMIT:,}."
        yield CHECK.finding("medium", "high", (path, None), message, "")


def _of_a_record(record: Record) -> Iterator[Finding]:
    """An artifact is not a folder: `artifact_findings` does the work."""
    return iter(())


CHECK = Check(
    id="artifact-not-as-stated",
    title="The artifact is not what its manifest says",
    why="Every byte of an artifact has an owner and a hash; a byte without one may hold anything.",
    clears="An artifact written by `regrow train`, unchanged since.",
    run=_of_a_record,
)
