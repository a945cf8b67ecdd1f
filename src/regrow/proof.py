"""The proof: held-out text is compressed, and a fresh process gives it back from artifact and stream alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from regrow.adaptation import adaptation_of
from regrow.artifact import Artifact
from regrow.codec import encode
from regrow.data import read_text_argument
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
) -> Proof:
    """Encode the held-out text of `data`, decode it elsewhere, compare SHA-256. bpb = 8 * stream bytes / raw bytes.

    The decoder is `regrow decompress` in a new interpreter whose working folder holds the stream and nothing else.
    `adapt`: by the predictor that learns from what it has coded, set by [eval] of the artifact's config and
    `overrides` of it; the stream says so, and the decoder repeats every update.
    Raises DataError for an empty text, ProofError if the decoder fails.
    """
    progress = progress or Silent()
    raw = read_text_argument(data)
    if not raw:
        raise DataError(f"{data}: is empty; bits per byte need at least one byte.")
    loaded = Artifact.load(artifact)
    adaptation = None
    if adapt:
        adaptation = adaptation_of(loaded.config, overrides)
        adaptation.check(len(loaded.tokenizer.encode(raw)), str(data))
    started = time.perf_counter()
    encoded = encode(loaded, raw, progress, adaptation=adaptation)
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
        track="adaptive" if adapt else "fixed",
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
