"""`regrow inspect`: what an artifact (without loading its memory, and without torch) or a stream is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from regrow.artifact.container import read_artifact
from regrow.artifact.ledger import Ledger
from regrow.artifact.weights import weight_bytes
from regrow.core.config.load import config_from_dict
from regrow.core.errors import ArtifactError, ConfigError
from regrow.core.magic import OLD_STREAM, STREAM, file_kind, head_of
from regrow.network.bases import base_array, base_sha256
from regrow.network.hadamard import derive_seed
from regrow.network.shapes import seeded_matrices
from regrow.predict.record_file import MARKS, RecordReader
from regrow.predict.stream import VERSION, BlockKind, StreamReader


def describe(path: Path) -> dict[str, Any]:
    """What the artifact, stream or file of records at `path` is made of; see the functions below."""
    path = Path(path)
    try:
        kind = file_kind(head_of(path))
    except OSError:
        kind = None  # which reading the artifact says better
    if kind == STREAM and head_of(path)[:4] in MARKS:
        return describe_records(path)
    return describe_stream(path) if kind in (STREAM, OLD_STREAM) else describe_artifact(path)


def describe_stream(path: Path) -> dict[str, Any]:
    """What a stream says of itself: sizes, how it was made, and `artifact`, the beginning of the SHA-256 of the
    artifact that decodes it; `raw_bytes` is None where only decoding tells. Raises StreamError if it is damaged."""
    with path.open("rb") as file:
        reader = StreamReader(file, str(path))
        blocks = list(reader.headers())
    sizes = [block.raw_bytes for block in blocks]
    return {
        "stream": str(path),
        "format_version": VERSION,
        "artifact": reader.artifact_id.hex(),
        "raw_bytes": None if None in sizes else sum(size or 0 for size in sizes),
        "stream_bytes": path.stat().st_size,
        "tokens": sum(block.tokens for block in blocks),
        "blocks": {kind.name.lower(): sum(b.kind == kind for b in blocks) for kind in BlockKind if kind},
    }


def describe_records(path: Path) -> dict[str, Any]:
    """What a file of records says of itself: how many, their coded bytes alone and those of the whole file, what each
    is taken to follow, the field they came from (empty: lines), the bytes of each one's checksum, and `artifact` as for
    a stream. Raises StreamError."""
    with path.open("rb") as file:
        reader = RecordReader(file, str(path))
        blocks = list(reader.index())
    return {
        "stream": str(path),
        "format_version": VERSION,
        "artifact": reader.artifact_id.hex(),
        "records": sum(len(block.lengths_N) for block in blocks),
        "record_bytes": sum(block.size for block in blocks),
        "stream_bytes": path.stat().st_size,
        "lead": reader.lead.decode("utf-8", "backslashreplace"),
        "field": reader.field,
        "checksum_bytes": reader.checksum,
    }


def describe_artifact(artifact: Path) -> dict[str, Any]:
    """The size of `artifact` by component, then the config, the seeds and the hashes, as plain values.

    Keys: `artifact` (path), `format_version`, `sha256` of the file, `counts_sha256` of the memory (empty
    without one), `total`, `budget` and `ledger` (component -> bytes, sums to total), `payloads` (name -> bytes,
    sha256), `seeds` (`root`, and what each part's seed derives to), `bases` (layer -> shape, bytes it would
    take as float32, sha256), `config`.

    The bases are regrown, so their hashes are those of this machine; raises ArtifactError if one is not the
    manifest's, or if the file is damaged, foreign or of another format version.
    """
    file = read_artifact(artifact)
    manifest = file.manifest
    try:
        config = config_from_dict(manifest["config"], f"{artifact}: manifest")
        vocab_size, root = int(manifest["vocab_size"]), int(manifest["seed"])
        matrices = seeded_matrices(config.model, root)
        hashes = {
            name: base_sha256(base_array(config.model.base, *matrix, config.model.base_gain))
            for name, matrix in matrices.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{artifact}: the manifest lacks or spoils {error}; pack the run again."
        ) from error
    except ConfigError as error:
        raise ArtifactError(str(error)) from error
    stated = manifest.get("bases")
    for name, digest in hashes.items():
        if not isinstance(stated, dict) or stated.get(name) != digest:
            raise ArtifactError(
                f"{artifact}: base {name} does not regrow to the hash in the manifest; pack the run again."
            )
    weights = weight_bytes(file.payloads["weights"], config.model, vocab_size, str(artifact))
    ledger = Ledger.of(file.payloads, weights, file.size)
    return {
        "artifact": str(artifact),
        "format_version": manifest["format_version"],
        "sha256": file.sha256,
        "counts_sha256": str(manifest.get("counts_sha256", "")),
        "total": ledger.total,
        "budget": config.pack.budget_bytes,
        "ledger": ledger.parts(),
        "payloads": {
            name: {"bytes": len(payload), "sha256": manifest["sha256"][name]}
            for name, payload in sorted(file.payloads.items())
        },
        "seeds": {
            "root": root,
            "embedding": derive_seed(root, "embedding"),
            **{name: matrix.seed for name, matrix in matrices.items()},
        },
        "bases": {
            name: {
                "shape": f"{matrix.rows} x {matrix.cols}",
                "bytes_if_stored": 4 * matrix.rows * matrix.cols,
                "sha256": hashes[name],
            }
            for name, matrix in matrices.items()
        },
        "config": msgspec.to_builtins(config),
    }
