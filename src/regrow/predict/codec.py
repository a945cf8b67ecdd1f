"""The codec: any bytes to a stream and back, with an artifact as the model.

Encoder and decoder call the same predictor at the same fixed shapes, one token a stream and step, so both see the same
bits. A stream says what it must be decoded with, and ends in a checksum of the raw bytes: a stream that is
damaged, or that another artifact or other arithmetic would decode to another text, is an error and never a wrong text.

Stream: b"RGST", a header (msgpack, led by its length in two bytes and followed by its CRC-32 in four, both
little-endian), the range coder's bytes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import torch

from regrow.artifact.artifact import Artifact
from regrow.artifact.range_coder import Decoder, Encoder
from regrow.core.errors import ArtifactError, StreamError
from regrow.core.files import sha256_hex
from regrow.core.magic import HEAD_BYTES, describe_bytes
from regrow.core.progress import Progress, Silent
from regrow.predict.adaptive.predictor import Adaptation, AdaptivePredictor, adaptive_predictor
from regrow.predict.mixture import IGNORED
from regrow.predict.predictor import Predictor, split_streams, stream_count

Expected: TypeAlias = Adaptation | Literal["fixed", "any"]  # of a stream: how it was made

MAGIC = b"RGST"
FORMAT_VERSION = 2
_CHECK_BYTES = 16


class StreamHeader(msgspec.Struct, frozen=True, array_like=True):
    """What the decoder must know and have: written as an array, so field order is the format."""

    version: int
    artifact: bytes  # first 16 bytes of the artifact's SHA-256
    raw: bytes  # first 16 bytes of the text's SHA-256
    raw_bytes: int
    tokens: int
    streams: int
    payload_crc32: int
    dtype: str  # number format of the network
    threads: int
    torch: str
    capability: str  # instruction set torch used
    adaptation: Adaptation | None = None  # how the predictor adapted; None: fixed


@dataclass(frozen=True)
class Encoded:
    """A stream, and what making it showed."""

    stream: bytes
    ideal_bits: float
    max_abs_row_sum_error: float


def encode(
    artifact: Artifact,
    raw: bytes,
    progress: Progress | None = None,
    *,
    adaptation: Adaptation | None = None,
    streams: int | None = None,
) -> Encoded:
    """Compress `raw` (any bytes); with `adaptation`, by a predictor that learns from what it has coded.

    `streams`: side by side at most, of a predictor that does not adapt (None: as the artifact's config says).
    """
    tokens = artifact.tokenizer.encode(raw)
    max_streams = adaptation.streams if adaptation else streams or artifact.config.eval.streams
    count = stream_count(len(tokens), max_streams)
    predictor = _predictor(artifact, len(tokens), count, torch.get_num_threads(), adaptation)
    symbols_ST = split_streams(tokens, count)
    coder = Encoder()
    with (progress or Silent()).task("encode", len(tokens), "tokens") as task:
        for symbols_S in np.ascontiguousarray(symbols_ST.T):
            probs_SV = predictor.probabilities()
            active = int((symbols_S != IGNORED).sum())  # streams that ended come last
            coder.push(symbols_S[:active], probs_SV[:active])
            predictor.advance(symbols_S)
            task.advance(active)
    payload = coder.finish()
    header = StreamHeader(
        FORMAT_VERSION, bytes.fromhex(artifact.sha256)[:_CHECK_BYTES], _digest(raw), len(raw), len(tokens), count,
        zlib.crc32(payload), _dtype_name(predictor), torch.get_num_threads(), str(torch.__version__),
        torch.backends.cpu.get_cpu_capability(), adaptation,
    )  # fmt: skip
    packed = msgspec.msgpack.encode(header)
    lead = MAGIC + len(packed).to_bytes(2, "little")
    stream = lead + packed + zlib.crc32(packed).to_bytes(4, "little") + payload
    return Encoded(stream, coder.ideal_bits, coder.max_abs_row_sum_error)


def decode(
    artifact: Artifact,
    stream: bytes,
    progress: Progress | None = None,
    *,
    expected: Expected = "any",
) -> bytes:
    """The bytes that `encode` was given; the stream itself says whether and how its predictor adapted.

    `expected`: refuse a stream that was made in another way. Raises StreamError for a stream that is damaged,
    is not this artifact's, or is not of the expected kind.
    """
    header, payload = read_header(stream)
    _check_kind(header.adaptation, expected)
    if header.artifact != bytes.fromhex(artifact.sha256)[:_CHECK_BYTES]:
        raise StreamError(
            f"the stream was made with the artifact {header.artifact.hex()}, and the one given is "
            f"{artifact.sha256[: 2 * _CHECK_BYTES]} (regrow inspect shows both); give the one it was made with."
        )
    if header.payload_crc32 != zlib.crc32(payload):
        raise StreamError("the stream is damaged or cut short; copy it again.")
    threads_before = torch.get_num_threads()
    torch.set_num_threads(header.threads)
    try:
        raw = _decode_payload(artifact, header, payload, progress or Silent())
    finally:
        torch.set_num_threads(threads_before)
    if len(raw) != header.raw_bytes or _digest(raw) != header.raw:
        raise StreamError(
            f"the stream does not decode to its checksum here; it was made with torch {header.torch} and "
            f"{header.capability} arithmetic, so decode it on such a machine."
        )
    return raw


def compress(
    artifact: Artifact | Path | str,
    data: bytes,
    progress: Progress | None = None,
    *,
    adaptation: Adaptation | None = None,
) -> bytes:
    """Compress any bytes with an artifact (or the path of one); see `encode`."""
    return encode(load(artifact), data, progress, adaptation=adaptation).stream


def decompress(
    artifact: Artifact | Path | str,
    data: bytes,
    progress: Progress | None = None,
    *,
    expected: Expected = "any",
) -> bytes:
    """The inverse of `compress`; see `decode`. Raises StreamError; never returns wrong bytes."""
    return decode(load(artifact), data, progress, expected=expected)


def _check_kind(found: Adaptation | None, expected: Expected) -> None:
    if expected == "any" or found == (None if expected == "fixed" else expected):
        return
    if expected == "fixed" or isinstance(expected, str):
        raise StreamError("the stream was made by a predictor that adapts; decompress it with --ttt.")
    if found is None:
        raise StreamError(
            "the stream was made by a predictor that does not adapt; decompress it without --ttt."
        )
    raise StreamError(
        f"the stream was made with other settings ({found.sentence()}) than those asked for "
        f"({expected.sentence()}); decompress it without --set."
    )


def read_header(stream: bytes) -> tuple[StreamHeader, bytes]:
    """Header and coder bytes of a stream. Raises StreamError."""
    size = int.from_bytes(stream[4:6], "little")
    if stream[:4] != MAGIC:
        kind = describe_bytes(stream[:HEAD_BYTES])
        raise StreamError(
            f"this is {kind}, no stream of version {FORMAT_VERSION}; give what `regrow compress` wrote."
        )
    if len(stream) < 10 + size:
        raise StreamError("the stream is cut short within its header; copy the file again.")
    try:
        header = msgspec.msgpack.decode(stream[6 : 6 + size], type=StreamHeader)
    except msgspec.DecodeError as error:
        raise StreamError("the stream's header is damaged; copy the file again.") from error
    if header.version != FORMAT_VERSION:
        raise StreamError(
            f"the stream has format version {header.version}, this regrow reads {FORMAT_VERSION}."
        )
    if (
        int.from_bytes(stream[6 + size : 10 + size], "little") != zlib.crc32(stream[6 : 6 + size])
        or not 1 <= header.streams <= 65536
        or not 1 <= header.threads <= 1024
        or not 0 <= header.tokens <= header.raw_bytes
        or not (header.adaptation is None or _possible(header.adaptation))
    ):
        raise StreamError("the stream's header is damaged; copy the file again.")
    return header, stream[10 + size :]


def _decode_payload(artifact: Artifact, header: StreamHeader, payload: bytes, progress: Progress) -> bytes:
    dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}.get(header.dtype)
    if dtype is None:
        raise StreamError("the stream's header is damaged; copy the file again.")
    limit = header.adaptation.streams if header.adaptation else header.streams
    if header.streams > limit or (header.adaptation and header.streams != stream_count(header.tokens, limit)):
        raise StreamError("the stream's header is damaged; copy the file again.")
    predictor = _predictor(artifact, header.tokens, header.streams, header.threads, header.adaptation, dtype)
    lengths = (split_streams(np.zeros(header.tokens, np.int64), header.streams) != IGNORED).sum(0)
    columns = []
    coder = Decoder(payload)
    with progress.task("decode", header.tokens, "tokens") as task:
        for active in lengths.tolist():
            probs_SV = predictor.probabilities()
            symbols_S = np.full(header.streams, IGNORED, np.int64)
            symbols_S[:active] = coder.pop(probs_SV[:active])
            predictor.advance(symbols_S)
            columns.append(symbols_S)
            task.advance(active)
    tokens = np.stack(columns, axis=1).reshape(-1) if columns else np.empty(0, np.int64)
    return artifact.tokenizer.decode(tokens[tokens != IGNORED])


def _predictor(
    artifact: Artifact,
    tokens: int,
    streams: int,
    threads: int,
    adaptation: Adaptation | None,
    dtype: torch.dtype | None = None,
) -> Predictor | AdaptivePredictor:
    if adaptation is not None:
        return adaptive_predictor(artifact, adaptation, tokens, dtype=dtype, threads=threads)
    return artifact.predictor(streams, dtype=dtype, threads=threads)


def _possible(a: Adaptation) -> bool:
    """Whether a header's settings are such as `Adaptation.of` makes: a damaged header must not make the decoder
    allocate without bound."""
    trains = a.ttt in ("adapters", "all") and a.optimiser in ("sgd", "adamw")
    return (
        1 <= a.streams <= 65536
        and 0 <= a.orders <= 8
        and 1 <= a.tokens < 1 << 40
        and (trains or a.ttt == "none")
        and 0 <= a.chunk_tokens < 1 << 40
        and a.chunk_tokens % a.streams == 0
        and 0 <= a.epochs <= 1000
        and a.rate >= 0
        and a.clip >= 0
    )


def _dtype_name(predictor: Predictor | AdaptivePredictor) -> str:
    return str(predictor.dtype).removeprefix("torch.")


def _digest(raw: bytes) -> bytes:
    return bytes.fromhex(sha256_hex(raw))[:_CHECK_BYTES]


def load(artifact: Artifact | Path | str) -> Artifact:
    """The artifact at a path, or the one given. Raises ArtifactError."""
    if isinstance(artifact, Artifact):
        return artifact
    if not Path(artifact).exists():
        raise ArtifactError(f"{artifact}: there is no such file; give the path of an artifact.")
    return Artifact.load(artifact)
