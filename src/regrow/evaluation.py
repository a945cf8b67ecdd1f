"""Bits per byte of held-out text: the mixture, the network alone, the memory alone.

The text is cut into the very streams, with the same cold starts, that the codec uses, so that an evaluated figure and a
proven one may be compared. Bits per byte = nats / ln 2 / len(raw bytes), the bytes counted before tokenising.

Legend: S streams, T tokens.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from regrow.artifact import Artifact
from regrow.data import read_text_argument
from regrow.dist import ProcessGroup
from regrow.errors import DataError
from regrow.predictor import IGNORED, Predictor, ScoredChunk, split_streams, stream_count
from regrow.progress import Progress, Silent
from regrow.results import Bpb, Seconds
from regrow.spread import spread

_COSTS = 4  # figures a token: see `_costs`


@dataclass(frozen=True)
class EvalResult:
    """What `evaluate` measured: `bpb` by predictor, the artifact's `bytes` by owner, and `seconds` (load, eval)."""

    bpb: Bpb
    bytes: dict[str, int]
    seconds: Seconds
    tokens: int = 0
    raw_bytes: int = 0
    passage: list[TokenCost] = field(default_factory=list)


@dataclass(frozen=True)
class TokenCost:
    """One token of a scored passage: its bytes, its bits under mixture, network and memory, the order that matched."""

    token: int
    text: bytes
    blended: float
    network: float
    memory: float | None
    order: int | None


@dataclass(frozen=True)
class Scores:
    """Nats of every token of a text in its order, float64 [tokens], under the mixture and each part."""

    tokens: NDArray[np.int64]
    blended: NDArray[np.float64]
    network: NDArray[np.float64]
    memory: NDArray[np.float64] | None
    order: NDArray[np.int8] | None


def evaluate(
    artifact: Path | Artifact,
    data: Path | bytes,
    *,
    stride: int | None = None,
    progress: Progress | None = None,
    group: ProcessGroup | None = None,
) -> EvalResult:
    """Score `data` (a data folder's held-out text, a file, or raw bytes) with an artifact.

    `stride`: None or 0 scores the streams as the proof codes them; N scores windows of the network's context,
    each window's last N tokens alone. The processes of `group` share the work and all have the same result.
    Raises DataError for an empty text.
    """
    loaded = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
    raw = data if isinstance(data, bytes) else read_text_argument(data)
    if not raw:
        raise DataError(f"{data!s}: is empty; bits per byte need at least one byte.")
    started = time.perf_counter()
    tokens = loaded.tokenizer.encode(raw)
    step = loaded.config.eval.stride if stride is None else stride
    scores = (
        score_windows(loaded, tokens, step, progress, group)
        if step
        else score_streams(loaded, tokens, progress, group)
    )
    to_bpb = 1 / math.log(2) / len(raw)
    memory = None if scores.memory is None else float(scores.memory.sum()) * to_bpb
    bpb = Bpb(
        neural=float(scores.network.sum()) * to_bpb,
        memory=memory,
        blended=float(scores.blended.sum()) * to_bpb,
    )
    seconds = Seconds(load=loaded.load_seconds, eval=time.perf_counter() - started)
    parts = {**loaded.ledger.parts(), "total": loaded.ledger.total, "budget": loaded.config.pack.budget_bytes}
    return EvalResult(bpb, parts, seconds, len(tokens), len(raw), passage_of(loaded, scores))


def score_streams(
    artifact: Artifact,
    tokens: NDArray[np.integer[Any]],
    progress: Progress | None = None,
    group: ProcessGroup | None = None,
) -> Scores:
    """Nats of every token, cut into the codec's streams and scored chunk by chunk in parallel."""
    streams = stream_count(len(tokens), artifact.config.eval.streams)
    window = artifact.network.window
    tokens_ST = split_streams(tokens, streams, window)
    # Some streams at a time, one window deep: what a chunk computes then stays in a CPU's cache.
    together = max(1, artifact.config.eval.chunk_tokens // window)
    groups = [tokens_ST[first : first + together] for first in range(0, streams, together)]
    with (progress or Silent()).task("evaluate", len(tokens), "tokens") as task:

        def score(i: int) -> NDArray[np.float64]:
            predictor = _predictor(artifact, len(groups[i]))
            chunks = []
            for at in range(0, tokens_ST.shape[1], window):
                chunks.append(predictor.score(groups[i][:, at : at + window]))
                task.advance(int((groups[i][:, at : at + window] != IGNORED).sum()))
            return np.concatenate([_costs(chunk) for chunk in chunks], axis=2)[:, groups[i] != IGNORED]

        lengths = [int((piece != IGNORED).sum()) for piece in groups]
        return _scores(artifact, tokens, np.concatenate(spread(lengths, _COSTS, score, group), axis=1))


def score_windows(
    artifact: Artifact,
    tokens: NDArray[np.integer[Any]],
    stride: int,
    progress: Progress | None = None,
    group: ProcessGroup | None = None,
) -> Scores:
    """Nats of every token from windows that end every `stride` tokens, of which the last `stride` count.

    A window is as long as the evaluation's window (`eval.window`, or the training sequence); the first counts whole.
    Raises DataError for a stride above the window.
    """
    window = artifact.network.window
    length = artifact.config.eval.window or artifact.config.train.seq_len
    if not 0 < stride <= length:
        raise DataError(f"--stride {stride}: must lie between 1 and the window of {length} tokens.")
    n = len(tokens)
    starts = [0, *range(stride, max(n - length, 0) + stride, stride)]
    batch = max(1, artifact.config.eval.chunk_tokens // length)
    padded_length = -(-length // window) * window
    batches: list[tuple[NDArray[np.int64], NDArray[np.bool_]]] = []  # tokens, and which of them count
    done = 0
    for i in range(0, len(starts), batch):
        piece_starts = starts[i : i + batch]
        tokens_ST = np.full((len(piece_starts), padded_length), IGNORED, np.int64)
        fresh_ST = np.zeros_like(tokens_ST, dtype=bool)
        for row, start in enumerate(piece_starts):
            piece = tokens[start : start + length]
            tokens_ST[row, : len(piece)] = piece
            fresh_ST[row, max(0, done - start) : len(piece)] = True
            done = max(done, start + len(piece))
        batches.append((tokens_ST, fresh_ST))
    lengths = [int(fresh_ST.sum()) for _, fresh_ST in batches]
    assert sum(lengths) == n, "every token is scored once"
    with (progress or Silent()).task("evaluate", n, "tokens") as task:

        def score(i: int) -> NDArray[np.float64]:
            tokens_ST, fresh_ST = batches[i]
            costs = _costs(_predictor(artifact, len(tokens_ST)).score(tokens_ST))[:, fresh_ST]
            task.advance(lengths[i])
            return costs

        return _scores(artifact, tokens, np.concatenate(spread(lengths, _COSTS, score, group), axis=1))


def passage_of(artifact: Artifact, scores: Scores, length: int = 400) -> list[TokenCost]:
    """A passage from the middle of a scored text, token by token, for the report."""
    middle = max(0, len(scores.tokens) // 2 - length // 2)
    table = artifact.tokenizer.token_bytes
    bits = 1 / math.log(2)
    return [
        TokenCost(
            int(scores.tokens[i]), table[int(scores.tokens[i])],
            float(scores.blended[i]) * bits, float(scores.network[i]) * bits,
            None if scores.memory is None else float(scores.memory[i]) * bits,
            None if scores.order is None else int(scores.order[i]),
        )
        for i in range(middle, min(middle + length, len(scores.tokens)))
    ]  # fmt: skip


def _predictor(artifact: Artifact, streams: int) -> Predictor:
    return artifact.predictor(streams, artifact.network.embedding.device, threads=torch.get_num_threads())


def _costs(chunk: ScoredChunk) -> NDArray[np.float64]:
    """A chunk's figures [_COSTS, S, T]: mixture, network, memory, matched order."""
    nothing = np.zeros_like(chunk.blended_ST)
    memory = nothing if chunk.memory_ST is None else chunk.memory_ST
    order = nothing if chunk.matched_order_ST is None else chunk.matched_order_ST
    return np.stack((chunk.blended_ST, chunk.network_ST, memory, order.astype(np.float64)))


def _scores(artifact: Artifact, tokens: NDArray[np.integer[Any]], costs: NDArray[np.float64]) -> Scores:
    with_memory = artifact.memory is not None
    return Scores(
        np.asarray(tokens, np.int64), costs[0], costs[1],
        costs[2] if with_memory else None, costs[3].astype(np.int8) if with_memory else None,
    )  # fmt: skip
