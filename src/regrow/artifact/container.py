"""The container of an artifact: one safetensors file, of which every byte is determined by what it holds.

docs/format.md is the specification. We write and read the header ourselves instead of calling the
safetensors library: the library checks less than we forbid (duplicate keys, free white space, more
metadata), and its bytes may change with its version. The tests hold our files against the library.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from regrow.core.errors import ArtifactError
from regrow.core.files import atomic_write_bytes, sha256_hex
from regrow.core.magic import describe_bytes, head_of

FORMAT = "regrow"
FORMAT_VERSION = 2  # written; the ones before are read too
PAYLOADS = ("memory", "mixer", "tokenizer", "weights")  # in the order of the file
MAX_HEADER_BYTES = 1 << 20
_ALIGNMENT = 8
_OWN_KEYS = ("format", "format_version", "sha256")


@dataclass(frozen=True)
class ArtifactFile:
    """What a file holds: `payloads` by name, the whole `manifest`; `size` and `sha256` are the file's own."""

    manifest: dict[str, Any]
    payloads: dict[str, bytes]
    size: int
    sha256: str


def write_artifact(
    path: Path, payloads: dict[str, bytes], manifest: dict[str, Any], *, dry_run: bool = False
) -> int:
    """Write the four payloads and the manifest at `path`, replaced in one step; returns the size in bytes.

    The manifest gets the keys `format`, `format_version` and `sha256`. The same input gives the same bytes.
    With `dry_run` nothing is written, for who must know the size first. Raises ArtifactError when the
    manifest is too large, EnvironmentProblem when the file cannot be written, ValueError for payloads or a
    manifest of another shape.
    """
    if set(payloads) != set(PAYLOADS):
        raise ValueError(
            f"an artifact has the payloads {', '.join(PAYLOADS)}, got {', '.join(sorted(payloads))}"
        )
    if taken := [key for key in _OWN_KEYS if key in manifest]:
        raise ValueError(f"the manifest's keys {', '.join(taken)} are written by write_artifact itself")
    digests = {name: sha256_hex(payloads[name]) for name in PAYLOADS}
    full = {**manifest, "format": FORMAT, "format_version": FORMAT_VERSION, "sha256": digests}
    digests["manifest"] = _manifest_sha256(full)
    header = _header(_canonical(full), {name: len(payloads[name]) for name in PAYLOADS})
    if len(header) > 8 + MAX_HEADER_BYTES:
        raise ArtifactError(
            f"{path}: its manifest is above {MAX_HEADER_BYTES:,} bytes; move what is large to a payload."
        )
    if not dry_run:
        atomic_write_bytes(path, header + b"".join(payloads[name] for name in PAYLOADS))
    return len(header) + sum(map(len, payloads.values()))


def read_artifact(path: Path) -> ArtifactFile:
    """Read and verify an artifact file. Raises ArtifactError saying what is wrong unless all is as written.

    Nothing in the file is executed, and nothing is allocated beyond the size the file really has.
    """
    try:
        with path.open("rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"{path}: cannot be read ({reason}); give the path of an artifact.") from error
    except RecursionError as error:  # JSON nested to the interpreter's limit, which no manifest of ours is
        raise _foreign(path) from error


def _read(file: BinaryIO, size: int, path: Path) -> ArtifactFile:
    prefix = file.read(8)
    header_bytes = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or header_bytes < 2:
        raise _foreign(path)
    if header_bytes > MAX_HEADER_BYTES:
        if file.read(1) != b"{":  # then these bytes are no length
            raise _foreign(path)
        raise ArtifactError(
            f"{path}: its header says it has {header_bytes:,} bytes, above {MAX_HEADER_BYTES:,}; "
            "this is no regrow artifact, or a damaged one."
        )
    header = file.read(header_bytes)
    if len(header) < header_bytes:
        raise _altered(path, "it ends within its header")
    table = _parse(header, path)
    metadata = table.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("manifest"), str):
        raise _foreign(path)
    text = metadata["manifest"]
    manifest = _parse(text, path)
    _check_format(manifest, path)
    if len(metadata) > 1:
        raise _altered(
            path,
            f"it has metadata besides the manifest ({', '.join(sorted(metadata.keys() - {'manifest'}))})",
        )
    lengths = _payload_lengths(table, size, path)
    # Equality with the one header we would write leaves no room for white space, duplicate keys or gaps.
    if prefix + header != _header(text, lengths) or not _is_canonical(text, manifest):
        raise _altered(path, "its header is not in the one form that the format has")
    expected = 8 + header_bytes + sum(lengths.values())
    if size != expected:
        raise _altered(path, f"it has {size:,} bytes where its header accounts for {expected:,}")
    payloads = {name: file.read(lengths[name]) for name in PAYLOADS}
    _check_hashes(manifest, payloads, path)
    digest = hashlib.sha256(prefix + header)
    for name in PAYLOADS:
        digest.update(payloads[name])
    return ArtifactFile(manifest, payloads, size, digest.hexdigest())


def _check_format(manifest: dict[str, Any], path: Path) -> None:
    if manifest.get("format") != FORMAT:
        raise _foreign(path)
    version = manifest.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: has format version {version!r}, and this release reads up to version {FORMAT_VERSION}; "
            "use the release that wrote it, or pack the run again."
        )


def _payload_lengths(table: dict[str, Any], size: int, path: Path) -> dict[str, int]:
    """The lengths that the header states; its offsets are checked by comparing the whole header."""
    missing, extra = sorted(set(PAYLOADS) - set(table)), sorted(set(table) - set(PAYLOADS))
    if missing or extra:
        names = " and ".join(
            [f"lacks {name!r}" for name in missing] + [f"has an unknown {name!r}" for name in extra]
        )
        raise _altered(path, f"its tensor table {names}")
    lengths = {}
    for name in PAYLOADS:
        entry = table[name]
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or entry.get("dtype") != "U8":
            raise _altered(path, f"its tensor {name!r} is not of bytes (dtype U8)")
        if not isinstance(shape, list) or len(shape) != 1 or type(shape[0]) is not int or shape[0] < 0:
            raise _altered(path, f"its tensor {name!r} does not have one dimension")
        if shape[0] > size:
            raise _altered(path, f"its tensor {name!r} is larger than the whole file")
        lengths[name] = shape[0]
    return lengths


def _check_hashes(manifest: dict[str, Any], payloads: dict[str, bytes], path: Path) -> None:
    digests = manifest.get("sha256")
    if not isinstance(digests, dict) or set(digests) != {*PAYLOADS, "manifest"}:
        raise _altered(path, "its manifest does not hold the SHA-256 of each payload")
    actual = {
        "manifest": _manifest_sha256(manifest),
        **{name: sha256_hex(data) for name, data in payloads.items()},
    }
    for name, digest in actual.items():
        if digests[name] != digest:
            raise _altered(path, f"its {name} does not match its SHA-256")


def _header(manifest_text: str, lengths: dict[str, int]) -> bytes:
    """Length prefix and JSON header, padded with spaces so that the payloads begin at a multiple of 8."""
    table: dict[str, Any] = {"__metadata__": {"manifest": manifest_text}}
    start = 0
    for name in PAYLOADS:
        stop = start + lengths[name]
        table[name] = {"dtype": "U8", "shape": [lengths[name]], "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(table, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _manifest_sha256(manifest: dict[str, Any]) -> str:
    """SHA-256 of the canonical manifest without its own hash."""
    digests = {name: digest for name, digest in manifest["sha256"].items() if name != "manifest"}
    return sha256_hex(_canonical({**manifest, "sha256": digests}).encode("ascii"))


def _canonical(manifest: dict[str, Any]) -> str:
    """JSON in ASCII with sorted keys and no white space. Raises ValueError for what JSON cannot hold."""
    return json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _is_canonical(text: str, manifest: dict[str, Any]) -> bool:
    try:
        return text == _canonical(manifest)
    except ValueError:  # NaN and infinities, which Python's reader lets through
        return False


def _parse(data: bytes | str, path: Path) -> dict[str, Any]:
    try:
        table = json.loads(data)
    except ValueError as error:  # bad UTF-8 and numbers of endless digits too
        raise _foreign(path) from error
    if not isinstance(table, dict):
        raise _foreign(path)
    return table


def _foreign(path: Path) -> ArtifactError:
    kind = describe_bytes(head_of(path))
    return ArtifactError(f"{path}: is {kind}, not a regrow artifact; give a file that regrow has packed.")


def _altered(path: Path, fault: str) -> ArtifactError:
    return ArtifactError(
        f"{path}: was altered or damaged, {fault}; get the file again, or pack the run again."
    )
