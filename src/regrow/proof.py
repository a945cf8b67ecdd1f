"""The proof: held-out text is compressed, and a fresh process gives it back from artifact and stream alone."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from regrow.adaptation import Adaptation, adaptation_of
from regrow.artifact import Artifact
from regrow.codec import encode
from regrow.data import read_text_argument
from regrow.dist import ProcessGroup
from regrow.errors import DataError, ProofError
from regrow.files import sha256_hex
from regrow.progress import Progress, Silent
from regrow.results import Proof


def prove(
    artifact: Path,
    data: Path,
    progress: Progress | None = None,
    *,
    adapt: bool = False,
    overrides: Sequence[str] = (),
    group: ProcessGroup | None = None,
) -> Proof:
    """Encode the held-out text of `data`, decode it elsewhere, compare SHA-256. bpb = 8 * stream bytes / raw bytes.

    The decoder is `regrow decompress` in a new interpreter whose working folder holds the stream and nothing else.
    `adapt`: by the predictor that learns from what it has coded, set by [eval] of the artifact's config and
    `overrides` of it; the stream says so, and the decoder repeats every update.

    The processes of `group` each prove a piece of the text, with their share of the streams, and all have the same
    result: bytes are summed, headers included, and seconds are those of the slowest. An adaptive proof is one text, for
    what it learns of it; the first process makes it and the others wait.

    Raises DataError for an empty text, ProofError if a decoder fails.
    """
    progress = progress or Silent()
    rank, world_size = (group.rank, group.world_size) if group else (0, 1)
    raw = read_text_argument(data)
    if not raw:
        raise DataError(f"{data}: is empty; bits per byte need at least one byte.")
    pieces = [raw] if adapt else pieces_of(raw, world_size)
    mine = None
    if rank < len(pieces):
        loaded = Artifact.load(artifact)
        adaptation = None
        if adapt:
            adaptation = adaptation_of(loaded.config, overrides)
            adaptation.check(len(loaded.tokenizer.encode(raw)), str(data))
        streams = -(-loaded.config.eval.streams // len(pieces))
        mine = _prove_piece(loaded, artifact, pieces[rank], progress, adaptation, streams)
    if group is None or group.world_size == 1:
        assert mine is not None
        return mine
    told = group.share(np.frombuffer(msgspec.json.encode(mine), np.uint8).copy())
    found = [msgspec.json.decode(bytes(part), type=Proof | None) for part in told]
    return _summed([proof for proof in found if proof is not None])


def pieces_of(raw: bytes, count: int) -> list[bytes]:
    """A text in at most `count` pieces of about one length, none empty, cut behind a newline where one is near;
    joined, they are the text again."""
    ends = [0]
    for i in range(1, count):
        target = len(raw) * i // count
        newline = raw.rfind(b"\n", len(raw) * (2 * i - 1) // (2 * count), target)
        ends.append(newline + 1 if newline >= 0 else target)
    ends.append(len(raw))
    return [raw[a:b] for a, b in itertools.pairwise(ends) if a < b]


def _prove_piece(
    loaded: Artifact,
    artifact: Path,
    raw: bytes,
    progress: Progress,
    adaptation: Adaptation | None,
    streams: int,
) -> Proof:
    started = time.perf_counter()
    encoded = encode(loaded, raw, progress, adaptation=adaptation, streams=streams)
    encode_seconds = time.perf_counter() - started
    del loaded
    with tempfile.TemporaryDirectory(prefix="regrow-proof-") as folder:
        (Path(folder) / "stream").write_bytes(encoded.stream)
        started = time.perf_counter()
        decoded = _decode_elsewhere(artifact.resolve(), Path(folder), progress)
        decode_seconds = time.perf_counter() - started
    return Proof(
        bpb=8 * len(encoded.stream) / len(raw),
        stream_bytes=len(encoded.stream),
        raw_bytes=len(raw),
        sha256_match=sha256_hex(decoded) == sha256_hex(raw),
        max_abs_row_sum_error=encoded.max_abs_row_sum_error,
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        track="adaptive" if adaptation else "fixed",
    )


def _summed(proofs: Sequence[Proof]) -> Proof:
    """One proof of the whole text from those of its pieces."""
    stream_bytes, raw_bytes = sum(p.stream_bytes for p in proofs), sum(p.raw_bytes for p in proofs)
    return Proof(
        bpb=8 * stream_bytes / raw_bytes,
        stream_bytes=stream_bytes,
        raw_bytes=raw_bytes,
        sha256_match=all(p.sha256_match for p in proofs),
        max_abs_row_sum_error=max(p.max_abs_row_sum_error for p in proofs),
        encode_seconds=max(p.encode_seconds for p in proofs),
        decode_seconds=max(p.decode_seconds for p in proofs),
        track=proofs[0].track,
    )


def _decode_elsewhere(artifact: Path, folder: Path, progress: Progress) -> bytes:
    command = [
        sys.executable,
        "-m",
        "regrow",
        "decompress",
        str(artifact),
        "stream",
        "-o",
        "decoded",
        "--json",
        "--quiet",
    ]
    with progress.task("decode in a fresh process"):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProofError(
            f"{artifact}: the fresh process could not decode: {done.stderr.strip() or done.returncode}"
        )
    json.loads(done.stdout)
    return (folder / "decoded").read_bytes()
