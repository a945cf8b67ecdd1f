"""The codec: any bytes to a stream and back, with an artifact as the model, the same bytes on every machine.

Rows come from `regrow.predict.exact`, in integers alone, so the encoder works on all positions at once and a decoder
needs no machine like the encoder's, and no torch. Text is cut into blocks that know nothing of each other; each is
stored as it is, packed by LZMA, or coded with the artifact, whichever is smallest. `regrow.predict.stream` is the
format.

Legend: S streams, T tokens.
"""

from __future__ import annotations

import io
import lzma
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.load_cache import ArrayCache
from regrow.artifact.range_coder import RangeDecoder, RangeEncoder
from regrow.artifact.stored import StoredArtifact
from regrow.core.errors import ArtifactError, StreamError
from regrow.core.machine import check_address_space, cores
from regrow.core.progress import Progress, Silent, Task
from regrow.predict.adaptive.earlier_mixer import EarlierMixer
from regrow.predict.adaptive.online_mixer import OnlineMixer
from regrow.predict.exact.adaptive import AdaptiveStreams
from regrow.predict.exact.loading import exact_model
from regrow.predict.exact.model import ExactModel
from regrow.predict.exact.streams import Streams
from regrow.predict.exact.symbols import pop
from regrow.predict.incompressible import is_incompressible
from regrow.predict.lockstep import IGNORED, split_streams, stream_count
from regrow.predict.record_codec import RecordCodec
from regrow.predict.stream import (
    ADAPTIVE_KINDS,
    BLOCK_BYTES,
    BLOCKS_END,
    AdaptiveSettings,
    BlockKind,
    StreamBlock,
    StreamReader,
    block_bytes,
    block_of,
    blocks_head,
    read_exactly,
    single,
)
from regrow.predict.turns import Turns

Expected: TypeAlias = AdaptiveSettings | Literal["fixed", "any"]  # of a stream: how it was made

_ADDRESS_SPACE = 300_000_000  # bytes, to compile the kernels and run them in threads
CHUNK = 64  # tokens of a stream that are predicted in one call when they are known
_SAMPLE = 2048  # bytes that tell whether the artifact is worth trying
_QUICK_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 23}]
_LZMA = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 23}]


class Rows(Protocol):
    """Streams in lock-step, fixed or adaptive: what `regrow.predict.exact.streams.Streams` offers."""

    def intervals(self, tokens_ST: NDArray[np.int64]) -> NDArray[np.int64]:
        """Start and length of the known tokens' intervals, [S, T, 2]."""

    def weights(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The weights of the next token [S, V] and their sums [S]."""

    def advance(self, tokens_S: NDArray[np.int64]) -> None:
        """The streams' next tokens are known."""


@dataclass(frozen=True)
class Encoded:
    """A stream, and the bits of its tokens' rows (0 for what was not coded with the artifact)."""

    stream: bytes
    ideal_bits: float


class Codec:
    """An artifact as a codec: `encode` any bytes, `decode` them again. The parts without floats are in memory once."""

    def __init__(self, model: ExactModel, stored: StoredArtifact, threads: int | None = None) -> None:
        self.model, self.config, self.sha256 = model, stored.config, stored.sha256
        self.tokenizer = stored.tokenizer
        self.threads = threads or cores()

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        cache: ArrayCache | None = None,
        threads: int | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> Codec:
        """From an artifact's file; with a `cache`, what takes seconds to regrow is kept there for the next time.

        `notice` is told in a sentence where nothing could be kept. Raises ArtifactError.
        """
        check_address_space("the codec", _ADDRESS_SPACE)
        stored = StoredArtifact.read(path)
        model = exact_model(stored, cache, notice)
        return cls(model, stored, threads)

    def records(self) -> RecordCodec:
        """The same model for many small records, each coded by itself."""
        return RecordCodec(self.model, self.tokenizer, threads=self.threads)

    def rows(
        self, streams: int, chunk: int, settings: AdaptiveSettings | None, threads: int | None = None, *,
        earlier: bool = False,
    ) -> Rows:  # fmt: skip
        """The predictor of a block. `earlier`: the adaptive one of kind 4."""
        threads = threads or self._threads_for(streams * chunk)
        if settings is None:
            return Streams(self.model, streams, chunk=chunk, threads=threads)
        mixer: EarlierMixer | OnlineMixer
        if earlier:
            mixer = EarlierMixer(streams, self.model.vocab_size, settings.orders, settings.tokens)
        else:
            mixer = OnlineMixer(streams, self.tokenizer.token_bytes, settings.orders, settings.tokens)
        return AdaptiveStreams(self.model, mixer, chunk=chunk, threads=threads)

    def encode(
        self, raw: bytes, progress: Progress | None = None, *, settings: AdaptiveSettings | None = None,
        always: bool = False,
    ) -> Encoded:  # fmt: skip
        """Compress `raw`; with `settings`, by the predictor that learns from what it has coded. `always`: with the
        artifact even where another form is smaller, as a proof of the artifact must."""
        pieces = [raw[at : at + BLOCK_BYTES] for at in range(0, len(raw), BLOCK_BYTES)] or [b""]
        with (progress or Silent()).task("encode", len(raw), "bytes") as task:
            coded = [self.encode_block(piece, settings, task, always) for piece in pieces]
        bits = sum(b for _, b in coded)
        if len(coded) == 1:
            return Encoded(single(self.sha256, coded[0][0]), bits)
        body = b"".join(block_bytes(block) for block, _ in coded)
        return Encoded(blocks_head(self.sha256) + body + BLOCKS_END, bits)

    def decode(self, stream: bytes, progress: Progress | None = None, *, expected: Expected = "any") -> bytes:
        """The bytes that `encode` was given. Raises StreamError for a stream that is damaged, is not this artifact's,
        or is not of the kind `expected`."""
        out = io.BytesIO()
        self.decode_file(io.BytesIO(stream), out, progress, expected=expected)
        return out.getvalue()

    def encode_file(
        self, source: BinaryIO, out: BinaryIO, progress: Progress | None = None, *,
        settings: AdaptiveSettings | None = None, total: int | None = None, block_size: int = BLOCK_BYTES,
    ) -> tuple[int, int]:  # fmt: skip
        """Compress a file or pipe into another, in blocks of `block_size` bytes (at most MAX_BLOCK_BYTES), of which one
        or two are in memory; returns the bytes read and written. `total`: the bytes there are, if they are known: no
        more are read, for a file may grow faster than it is compressed."""
        read, written, left = 0, 0, math.inf if total is None else total

        def block() -> bytes:
            nonlocal left
            piece = read_exactly(source, int(min(left, block_size)))
            left -= len(piece)
            return piece

        with (progress or Silent()).task("encode", total, "bytes") as task:
            piece, after = block(), block()
            if not after:
                stream = single(self.sha256, self.encode_block(piece, settings, task)[0])
                out.write(stream)
                return len(piece), len(stream)
            written += out.write(blocks_head(self.sha256))
            while piece:
                read += len(piece)
                written += out.write(block_bytes(self.encode_block(piece, settings, task)[0]))
                piece, after = after, block()
            written += out.write(BLOCKS_END)
        return read, written

    def decode_file(
        self, source: BinaryIO, out: BinaryIO, progress: Progress | None = None, *, expected: Expected = "any",
        name: str = "the stream",
    ) -> tuple[int, int]:  # fmt: skip
        """Decompress a file or pipe into another, of which one block is in memory; returns the bytes read and written.

        Raises StreamError for damage, when what stands before it has been written."""
        reader = StreamReader(source, name)
        reader.check_artifact(self.sha256)
        written = 0
        with (progress or Silent()).task("decode", None, "bytes") as task:
            for block in reader.blocks():
                _check_kind(block, expected, name)
                written += out.write(self.decode_block(block, task, name))
        return reader.position, written

    def encode_block(
        self, raw: bytes, settings: AdaptiveSettings | None, task: Task, always: bool = False
    ) -> tuple[StreamBlock, float]:
        """The smallest form of a block, and the bits of its tokens' rows."""
        if not always and is_incompressible(raw):
            task.advance(len(raw))
            return block_of(BlockKind.STORED, raw, raw), 0.0
        quick = min(len(raw), len(lzma.compress(raw, lzma.FORMAT_RAW, filters=_QUICK_LZMA)))
        coded: StreamBlock | None = None
        bits = 0.0
        if always or self._worth_trying(raw, quick):
            tokens = self.tokenizer.encode(raw)
            payload, bits = self.encode_tokens(tokens, settings, task, len(raw))
            kind = BlockKind.FIXED if settings is None else BlockKind.ADAPTIVE
            coded = block_of(kind, raw, payload, len(tokens), settings)
            if always or 2 * len(payload) < quick:  # what a second of LZMA gains is less than half
                return coded, bits
        packed = lzma.compress(raw, lzma.FORMAT_RAW, filters=_LZMA)
        best = block_of(BlockKind.STORED, raw, raw)
        if len(packed) + 4 < len(raw):
            best = block_of(BlockKind.PACKED, raw, packed)
        if coded is not None and len(coded.payload) < len(best.payload):
            return coded, bits
        task.advance(len(raw))
        return best, 0.0

    def decode_block(self, block: StreamBlock, task: Task, name: str = "the stream") -> bytes:
        """A block's raw bytes. Raises StreamError where they are not what was coded."""
        if block.kind == BlockKind.STORED:
            raw = block.payload
        elif block.kind == BlockKind.PACKED:
            raw = _unpacked(block)
        else:
            tokens = self.decode_tokens(block, task)
            return block.check(self.tokenizer.decode(tokens), name)
        task.advance(len(raw))
        return block.check(raw, name)

    def encode_tokens(
        self, tokens: NDArray[np.integer], settings: AdaptiveSettings | None, task: Task, raw_bytes: int
    ) -> tuple[bytes, float]:
        """Tokens range coded in lock-step, and the bits of their rows."""
        streams = stream_count(len(tokens), settings.streams if settings else None)
        tokens_ST = split_streams(tokens, streams)
        rows = self.rows(streams, min(CHUNK, max(1, tokens_ST.shape[1])), settings)
        coder, bits = RangeEncoder(), 0.0
        for at in range(0, tokens_ST.shape[1], CHUNK):
            chunk_ST = tokens_ST[:, at : at + CHUNK]
            found = (
                rows.intervals(chunk_ST).transpose(1, 0, 2).reshape(-1, 2)
            )  # step by step, as they are decoded
            found = found[found[:, 1] > 0]
            coder.push(found[:, 0], found[:, 1])
            bits += float((24 - np.log2(found[:, 1])).sum())
            task.advance(raw_bytes * len(found) // max(1, len(tokens)))
        return coder.finish(), bits

    def decode_tokens(self, block: StreamBlock, task: Task) -> NDArray[np.int64]:
        """The inverse of `encode_tokens`."""
        settings, earlier = block.settings, block.kind == BlockKind.EARLIER_ADAPTIVE
        streams = stream_count(block.tokens, settings.streams if settings else None)
        decoder = RangeDecoder(block.payload)
        known_ST = split_streams(np.zeros(block.tokens, np.int64), streams)
        active_T = (known_ST != IGNORED).sum(axis=0).tolist()  # streams that ended come last
        sizes = np.array([len(piece) for piece in self.tokenizer.token_bytes])
        # Two halves of the streams, since a row does not depend on its neighbours: while the one takes its tokens from
        # the coder, the other computes. What adapts learns from all streams in lock-step.
        halves = 2 if settings is None and self._threads_for(streams) > 1 else 1
        bounds = [streams * n // halves for n in range(halves + 1)]
        turns = Turns(halves)

        def decode(n: int) -> None:
            half_ST = known_ST[bounds[n] : bounds[n + 1]]
            threads = -(-self._threads_for(streams) // halves)
            rows = self.rows(len(half_ST), 1, settings, threads, earlier=earlier)
            for t, all_active in enumerate(active_T):
                active = min(max(all_active - bounds[n], 0), len(half_ST))
                weights = rows.weights()
                with turns.mine(n):
                    half_ST[:active, t] = pop(decoder, *weights, active)
                    task.advance(int(sizes[half_ST[:active, t]].sum()))
                rows.advance(half_ST[:, t])

        turns.run(decode)
        tokens_N: NDArray[np.int64] = known_ST[known_ST != IGNORED]
        return tokens_N

    def _worth_trying(self, raw: bytes, best: int) -> bool:
        """Whether the artifact may code `raw` in less than `best` bytes: short texts always, of long ones samples."""
        if len(raw) <= 8 * _SAMPLE:
            return len(raw) > 0
        starts = (0, len(raw) // 3, 2 * len(raw) // 3, len(raw) - _SAMPLE)
        sample = [raw[at : at + _SAMPLE] for at in starts]
        task = Silent().task("sample")
        with task as silent:
            bits = [self.encode_tokens(self.tokenizer.encode(s), None, silent, 0)[1] for s in sample]
        return min(bits) / 8 / _SAMPLE < best / len(raw)

    def _threads_for(self, rows: int) -> int:
        """Small steps run on one thread: handing over half of one costs more than it saves."""
        return self.threads if rows >= 32 else 1


def compress(
    artifact: Path | str | Codec, data: bytes, progress: Progress | None = None, *,
    settings: AdaptiveSettings | None = None,
) -> bytes:  # fmt: skip
    """Compress any bytes with an artifact (its path, or a `Codec`)."""
    return codec_of(artifact).encode(data, progress, settings=settings).stream


def decompress(
    artifact: Path | str | Codec, data: bytes, progress: Progress | None = None, *, expected: Expected = "any"
) -> bytes:
    """The inverse of `compress`. Raises StreamError; never returns wrong bytes."""
    return codec_of(artifact).decode(data, progress, expected=expected)


def codec_of(artifact: object, cache: ArrayCache | None = None) -> Codec:
    """The codec of an artifact: its path, its run's folder, a loaded `Artifact`, or a `Codec`. Raises ArtifactError."""
    if isinstance(artifact, Codec):
        return artifact
    stored = getattr(artifact, "stored", None)  # a loaded Artifact, whose memory is there already
    if isinstance(stored, StoredArtifact):
        check_address_space("the codec", _ADDRESS_SPACE)
        memory = getattr(artifact, "memory", None)
        return Codec(exact_model(stored, cache, memory=memory), stored)
    if isinstance(artifact, Path | str):
        return Codec.load(artifact, cache=cache)
    raise ArtifactError(f"{artifact!r} is no artifact; give its path.")


def _check_kind(block: StreamBlock, expected: Expected, name: str) -> None:
    if expected == "any" or block.kind in (BlockKind.STORED, BlockKind.PACKED):
        return
    if expected == "fixed":
        if block.kind in ADAPTIVE_KINDS:
            raise StreamError(f"{name}: was made by a predictor that adapts; decompress it with --ttt.")
    elif block.kind == BlockKind.FIXED:
        raise StreamError(
            f"{name}: was made by a predictor that does not adapt; decompress it without --ttt."
        )
    elif block.settings != expected:
        raise StreamError(
            f"{name}: was made with other settings ({block.settings}) than those asked for ({expected}); decompress it "
            "without --ttt and --set, for a stream says how it was made."
        )


def _unpacked(block: StreamBlock) -> bytes:
    limit = block.raw_bytes or 0
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA).decompress(block.payload, limit + 1)
    except (lzma.LZMAError, EOFError):
        return b""
