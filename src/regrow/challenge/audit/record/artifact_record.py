"""A regrow artifact as a record: is it the container it says it is, has every byte an owner, does it keep its budget?

`regrow.artifact.container` refuses a file with a byte out of place or a hash that does not fit; nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regrow.artifact.container import read_artifact
from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.check import Check, Found
from regrow.challenge.audit.record.claims import number
from regrow.challenge.facts import LIMIT_BYTES
from regrow.core.errors import RegrowError

CHECK = Check(
    "artifact-not-as-stated",
    "The artifact is not what its manifest says",
    why="Every byte of an artifact has an owner and a hash; a byte without one may hold anything.",
    clears="An artifact written by `regrow train`, unchanged since.",
    ask=lambda record: iter(()),  # an artifact is no folder: `artifact_findings` does the work
)


def artifact_findings(path: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and account of an artifact; the file need not be one at all."""
    size = path.stat().st_size
    account: dict[str, Any] = {"bytes": {"total": size, "limit": LIMIT_BYTES}}
    try:
        held = read_artifact(path)
    except RegrowError as error:
        return [CHECK.finding(Found("high", "high", path, None, str(error)))], account
    account["bytes"] |= {name: len(payload) for name, payload in held.payloads.items()}
    account["bytes"]["manifest"] = size - sum(map(len, held.payloads.values()))
    account["sha256"] = held.sha256
    account["config"] = held.manifest.get("config")
    return [CHECK.finding(found) for found in _over_budget(path, size, held.manifest)], account


def _over_budget(path: Path, size: int, manifest: dict[str, Any]) -> Iterator[Found]:
    config = manifest.get("config")
    pack = config.get("pack") if isinstance(config, dict) else None
    budget = number(pack.get("budget_bytes")) if isinstance(pack, dict) else None
    if budget and size > budget:
        message = f"The file has {size:,} bytes, over its own budget of {int(budget):,}."
        yield Found("high", "high", path, None, message)
    elif size > LIMIT_BYTES:
        message = f"The file has {size:,} bytes, over the challenge's {LIMIT_BYTES:,}."
        yield Found("medium", "high", path, None, message)
