"""The proof: held-out text is compressed, and a fresh process gives it back from artifact and stream alone."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from regrow.artifact.load_cache import ArrayCache
from regrow.artifact.stored import StoredArtifact
from regrow.core.compilation import compile_ahead
from regrow.core.dist import ProcessGroup
from regrow.core.errors import DataError, ProofError, RegrowError
from regrow.core.files import sha256_hex
from regrow.core.processes import ends_with_parent
from regrow.core.progress import Progress, Silent
from regrow.core.results import Proof
from regrow.data.dataset import read_text_argument
from regrow.predict.adaptive.settings import adaptive_settings
from regrow.predict.codec import Encoded, codec_of
from regrow.predict.exact import network, rows, suggestions, symbols

if TYPE_CHECKING:
    from regrow.artifact.artifact import Artifact

#: The command that decodes, before its three arguments ARTIFACT STREAM -o OUT.
DECODER = (sys.executable, "-m", "regrow", "decompress", "--quiet")


def prepare() -> None:
    """A proof will be wanted: another process, which gives way to all others, compiles what it needs meanwhile."""
    compile_ahead(suggestions.suggest, network.forward, rows.weigh, symbols.pop_rows, nice=19)


def prove(
    artifact: Path | str | Artifact,
    data: Path | str,
    progress: Progress | None = None,
    *,
    adapt: bool | Sequence[str] = False,
    group: ProcessGroup | None = None,
    decoder_command: Sequence[str] = DECODER,
) -> Proof:
    """Encode the held-out text of `data`, decode it elsewhere, compare SHA-256. bpb = 8 * stream bytes / raw bytes.

    `artifact`: its path, or the artifact as it is loaded, whose memory the encoder then need not regrow. The decoder
    gets its file alone: it is a new process whose working folder holds the stream and nothing else: `decoder_command`,
    followed by ARTIFACT STREAM -o OUT; as a rule `regrow decompress`.
    `adapt`: by the adaptive predictor, as [eval] of the artifact's config says, or with overrides of it such as
    ["eval.ttt=none"]; the stream says so, and the decoder repeats every update.

    The processes of `group` each prove a piece of the text, with their share of the streams, and all have the same
    result: bytes are summed, headers included, and seconds are those of the slowest. An adaptive proof learns from the
    whole text in its order, so one process makes it: give no group.

    Raises DataError for an empty text, or where the processes read different texts or artifacts, ProofError if a
    decoder fails.
    """
    data, progress = Path(data), progress or Silent()
    loaded = None if isinstance(artifact, Path | str) else artifact
    path = Path(artifact) if isinstance(artifact, Path | str) else Path(artifact.stored.source)
    raw = read_text_argument(data)
    if not raw:
        raise DataError(f"{data}: is empty; bits per byte need at least one byte.")
    if group is None or group.world_size == 1:
        return _prove_piece(_Job(path, data, raw, adapt, decoder_command, loaded), progress)
    if adapt is not False:
        raise ValueError("an adaptive proof is one process's work")
    return _prove_together(_Job(path, data, raw, False, decoder_command, loaded), progress, group)


@dataclass(frozen=True)
class _Job:
    """What a process has to prove: `raw`, the text of `data` or a piece of it."""

    artifact: Path
    data: Path
    raw: bytes
    adapt: bool | Sequence[str]
    decoder: Sequence[str]
    loaded: Artifact | None


def _prove_together(job: _Job, progress: Progress, group: ProcessGroup) -> Proof:
    """Every process's piece, and the proof that they make."""
    if not job.artifact.is_file():
        StoredArtifact.read(job.artifact)  # says so, in every process
    mine = sha256_hex(job.raw) + sha256_hex(job.artifact.read_bytes())
    if len(set(_shared(mine, str, group))) > 1:
        raise DataError(
            f"{job.data}, {job.artifact}: the processes read different files; give all the same text and artifact."
        )
    pieces = pieces_of(job.raw, group.world_size)
    outcome: Proof | str | None = None
    if group.rank < len(pieces):
        try:
            piece = replace(job, raw=pieces[group.rank])
            outcome = _prove_piece(piece, progress)
        except RegrowError as error:
            outcome = f"process {group.rank}: {error}"  # goes to all, for all wait for each other
    found = _shared(outcome, Proof | str | None, group)
    failed = [problem for problem in found if isinstance(problem, str)]
    if failed:
        raise ProofError("; ".join(failed))
    return _summed([proof for proof in found if isinstance(proof, Proof)])


def _shared(mine: Any, kind: Any, group: ProcessGroup) -> list[Any]:
    """Every process's value, in the order of ranks."""
    packed = np.frombuffer(bytearray(msgspec.json.encode(mine)), np.uint8)
    return [msgspec.json.decode(part.tobytes(), type=kind) for part in group.share(packed)]


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


def _prove_piece(job: _Job, progress: Progress) -> Proof:
    """The proof of one piece."""
    started = time.perf_counter()
    encoded = _encode(job, progress)
    encode_seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory(prefix="regrow-proof-") as folder:
        (Path(folder) / "stream").write_bytes(encoded.stream)
        started = time.perf_counter()
        decoded = decode_elsewhere(job.artifact.resolve(), Path(folder), progress, job.decoder)
        decode_seconds = time.perf_counter() - started
    return Proof(
        bpb=8 * len(encoded.stream) / len(job.raw),
        stream_bytes=len(encoded.stream),
        raw_bytes=len(job.raw),
        sha256_match=sha256_hex(decoded) == sha256_hex(job.raw),
        max_abs_row_sum_error=0.0,  # frequencies are whole and sum to 2^24
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        track="fixed" if job.adapt is False else "adaptive",
    )


def _encode(job: _Job, progress: Progress) -> Encoded:
    """The stream; the codec is made here and let go, before a fresh process loads its own."""
    codec = codec_of(job.loaded or job.artifact, ArrayCache())
    settings = None if job.adapt is False else adaptive_settings(codec.config, job.adapt)
    return codec.encode(job.raw, progress, settings=settings, always=True)


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
        processes=len(proofs),
    )


def decode_elsewhere(artifact: Path | str, folder: Path, progress: Progress, decoder: Sequence[str]) -> bytes:
    """What `decoder` makes in a new process of `folder`'s one file, the stream. Raises ProofError if it fails."""
    command = [*decoder, str(artifact), "stream", "-o", "decoded"]
    with progress.task("decode in a fresh process"):
        done = subprocess.run(
            ends_with_parent(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise ProofError(
            f"{artifact}: the fresh process could not decode: {done.stderr.strip() or done.returncode}"
        )
    return (folder / "decoded").read_bytes()
