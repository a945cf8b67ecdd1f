"""A regrow artifact as a record: is it the container it says it is, is every byte accounted for, does it keep
its budget?

The container is read here from its bytes, apart from the code that writes it: 8 bytes (little endian) of
header length, a JSON header, then the payloads. Nothing is loaded or unpickled.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regrow.auditing.checks.sizes import LIMIT
from regrow.auditing.finding import Finding
from regrow.auditing.records import Check, Record, number

_HEADER_AT_MOST = 50_000_000
_PAYLOADS = ("tokenizer", "weights", "memory", "mixer")


def artifact_findings(path: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings and account of an artifact.

    Args:
        path: the file; it need not be an artifact at all.
    """
    size = path.stat().st_size
    account: dict[str, Any] = {"bytes": {"total": size, "limit": LIMIT}}
    try:
        header, start = _header(path)
    except ValueError as error:
        return [_says("high", path, f"This is no artifact: {error}.")], account
    findings = list(_container(path, header, start, size))
    manifest = _manifest(header)
    if manifest is None:
        findings.append(
            _says("high", path, "The artifact has no readable `manifest`: nobody can say what it holds.")
        )
        return findings, account
    account["bytes"].update({name: end - begin for name, (begin, end) in _places(header).items()})
    account["bytes"]["header"] = start
    account["config"] = manifest.get("config")
    findings += _hashes(path, header, start, manifest)
    findings += _budget(path, size, manifest)
    return findings, account


def _says(severity: Any, path: Path, message: str, evidence: str = "") -> Finding:
    return CHECK.finding(severity, "high", (path, None), message, evidence)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    with path.open("rb") as handle:
        lead = handle.read(8)
        if len(lead) < 8:
            raise ValueError("it is shorter than a header")
        length = struct.unpack("<Q", lead)[0]
        if length > _HEADER_AT_MOST:
            raise ValueError(f"its header would have {length:,} bytes")
        text = handle.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("its header is not JSON") from error
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return header, 8 + length


def _places(header: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Payload -> where it begins and ends, bytes after the header; other entries are left out."""
    found = {}
    for name, entry in header.items():
        offsets = entry.get("data_offsets") if isinstance(entry, dict) and name != "__metadata__" else None
        if (
            isinstance(offsets, list)
            and len(offsets) == 2
            and all(isinstance(n, int) and n >= 0 for n in offsets)
        ):
            found[name] = (offsets[0], offsets[1])
    return found


def _container(path: Path, header: dict[str, Any], start: int, size: int) -> Iterator[Finding]:
    metadata = header.get("__metadata__")
    keys = sorted(metadata) if isinstance(metadata, dict) else []
    if keys != ["manifest"]:
        yield _says("medium", path, f"The metadata has the keys {keys}; an artifact has `manifest` alone.")
    places = _places(header)
    for name, entry in header.items():
        if name != "__metadata__" and (
            name not in places or not isinstance(entry, dict) or entry.get("dtype") != "U8"
        ):
            yield _says("medium", path, f"`{name}` is not a payload of bytes.", json.dumps(entry)[:200])
    for name in places.keys() - set(_PAYLOADS):
        yield _says("medium", path, f"`{name}` is no payload that an artifact has; its bytes have no owner.")
    end = 0
    for name, (begin, after) in sorted(places.items(), key=lambda item: item[1]):
        if begin != end or after < begin:
            yield _says("high", path, f"Bytes {end:,} to {begin:,} before `{name}` belong to no payload.")
        end = after
    if start + end != size:
        yield _says("high", path, f"The payloads end at byte {start + end:,}, the file at {size:,}.")


def _manifest(header: dict[str, Any]) -> dict[str, Any] | None:
    metadata = header.get("__metadata__")
    text = metadata.get("manifest") if isinstance(metadata, dict) else None
    try:
        manifest = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _hashes(path: Path, header: dict[str, Any], start: int, manifest: dict[str, Any]) -> Iterator[Finding]:
    listed = next(
        (manifest[k] for k in ("payloads", "sha256", "payload_sha256") if isinstance(manifest.get(k), dict)),
        {},
    )
    with path.open("rb") as handle:
        for name, (begin, end) in _places(header).items():
            stated = listed.get(name)
            stated = stated.get("sha256") if isinstance(stated, dict) else stated
            if not isinstance(stated, str):
                yield _says("medium", path, f"The manifest states no SHA-256 of `{name}`.")
                continue
            handle.seek(start + begin)
            found = hashlib.sha256(handle.read(max(0, end - begin))).hexdigest()
            if found != stated:
                yield _says(
                    "high",
                    path,
                    f"`{name}` is not what the manifest says it is.",
                    f"{stated} stated, {found} found",
                )


def _budget(path: Path, size: int, manifest: dict[str, Any]) -> Iterator[Finding]:
    config = manifest.get("config")
    pack = config.get("pack") if isinstance(config, dict) else None
    budget = number(pack.get("budget_bytes")) if isinstance(pack, dict) else None
    if budget and size > budget:
        yield _says("high", path, f"The file has {size:,} bytes, over its own budget of {int(budget):,}.")
    elif size > LIMIT:
        yield _says("medium", path, f"The file has {size:,} bytes, over the challenge's {LIMIT:,}.")


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
