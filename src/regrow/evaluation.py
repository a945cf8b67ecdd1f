"""Bits per byte of held-out text: the mixture, the network alone, the memory alone.

The text is cut into the very streams, with the same cold starts, that the codec uses, so that an evaluated figure and a
proven one may be compared. Bits per byte = nats / ln 2 / len(raw bytes), the bytes counted before tokenising.

Legend: S streams, T tokens.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from regrow.adaptation import Adaptation, adaptation_of, adaptive_predictor
from regrow.artifact import Artifact
from regrow.data import read_text_argument
from regrow.errors import ConfigError, DataError
from regrow.official_bytes import official_bpb
from regrow.predictor import IGNORED, Predictor, ScoredChunk, split_streams, stream_count
from regrow.progress import Progress, Silent
from regrow.results import Bpb, Seconds


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
    official: bool = False,
    reset_at: bytes | None = None,
    adapt: bool = False,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> EvalResult:
    """Score `data` (a data folder's held-out text, a file, or raw bytes) with an artifact.

    `stride`: None or 0 scores the streams as the proof codes them; N scores windows of the network's context,
    each window's last N tokens alone. `reset_at`: bytes that end a document; nothing of one document is known in
    the next. `adapt`: also by the predictor that learns from text it has scored, in `bpb.ttt`, set by [eval] of the
    artifact's config and `overrides` of it; never in windows, and over the whole text as one. `official`: also by
    parameter-golf's byte table.

    Raises DataError for an empty text, ConfigError for settings that do not fit the text or the network.
    """
    loaded = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
    raw = data if isinstance(data, bytes) else read_text_argument(data)
    source = "the text" if isinstance(data, bytes) else str(data)
    if not raw:
        raise DataError(f"{source}: is empty; bits per byte need at least one byte.")
    documents = documents_of(raw, reset_at, source)
    tokens = loaded.tokenizer.encode(raw)
    adaptation = adaptation_of(loaded.config, overrides) if adapt else None
    if adaptation is not None:
        if reset_at is not None:
            raise ConfigError(
                "--reset-at and --ttt: an adaptive score runs over the whole text; give one of them."
            )
        adaptation.check(len(tokens), source)
    started = time.perf_counter()
    step = loaded.config.eval.stride if stride is None else stride
    pieces = [tokens] if len(documents) == 1 else [loaded.tokenizer.encode(d) for d in documents]
    if step > len(tokens):
        raise ConfigError(f"--stride {step}: is longer than the text of {len(tokens)} tokens; choose less.")
    scores = (
        score_windows(loaded, pieces, step, progress) if step else score_streams(loaded, pieces, progress)
    )
    seconds = Seconds(load=loaded.load_seconds, eval=time.perf_counter() - started)
    to_bpb = 1 / math.log(2) / len(raw)
    memory = None if scores.memory is None else float(scores.memory.sum()) * to_bpb
    bpb = Bpb(
        neural=float(scores.network.sum()) * to_bpb,
        memory=memory,
        blended=float(scores.blended.sum()) * to_bpb,
        official_bytes=official_bpb(float(scores.blended.sum()), scores.tokens, loaded.tokenizer)
        if official
        else None,
    )
    if adaptation is not None:
        started = time.perf_counter()
        adapted = score_adaptively(loaded, tokens, adaptation, progress)
        bpb.ttt = float(adapted.adapted.sum()) * to_bpb
        seconds.ttt = time.perf_counter() - started
    parts = {**loaded.ledger.parts(), "total": loaded.ledger.total, "budget": loaded.config.pack.budget_bytes}
    return EvalResult(bpb, parts, seconds, len(scores.tokens), len(raw), passage_of(loaded, scores))


def documents_of(raw: bytes, reset_at: bytes | None, source: str) -> list[bytes]:
    """A text cut after every `reset_at` (None: not at all); joined, the documents are the text again.

    Raises DataError for a separator that is empty or not in the text.
    """
    if reset_at is None:
        return [raw]
    if not reset_at or reset_at not in raw:
        raise DataError(
            f"{source}: holds no {reset_at!r} to reset at; give --reset-at what ends a document there."
        )
    documents = [part + reset_at for part in raw.split(reset_at)]
    documents[-1] = documents[-1].removesuffix(reset_at)
    return [document for document in documents if document]


@dataclass(frozen=True)
class AdaptiveScores:
    """Nats of every token in the text's order, float64: under the predictor that adapts, and under network, memory and
    fixed mixer as the network stood then."""

    adapted: NDArray[np.float64]
    blended: NDArray[np.float64]
    seconds: dict[str, float]  # on the artifact's predictions, the memory with its mixer, the training


def score_adaptively(
    artifact: Artifact,
    tokens: NDArray[np.integer[Any]],
    adaptation: Adaptation,
    progress: Progress | None = None,
) -> AdaptiveScores:
    """Nats of every token by the predictor that learns from what it has scored, in the codec's streams and order."""
    predictor = adaptive_predictor(artifact, adaptation, len(tokens), threads=torch.get_num_threads())
    window = artifact.network.window
    tokens_ST = split_streams(tokens, predictor.streams, window)
    chunks: list[ScoredChunk] = []
    with (progress or Silent()).task("evaluate, adapting", len(tokens), "tokens") as task:
        for at in range(0, tokens_ST.shape[1], window):
            chunks.append(predictor.score(tokens_ST[:, at : at + window]))
            task.advance(int((chunks[-1].tokens_ST != IGNORED).sum()))
    known_ST = np.concatenate([c.tokens_ST for c in chunks], axis=1) != IGNORED
    adapted_ST = np.concatenate([c.adapted_ST for c in chunks if c.adapted_ST is not None], axis=1)
    blended_ST = np.concatenate([c.blended_ST for c in chunks], axis=1)
    scores = AdaptiveScores(adapted_ST[known_ST], blended_ST[known_ST], predictor.seconds)
    assert len(scores.adapted) == len(tokens), "every token is scored once"
    return scores


def score_streams(
    artifact: Artifact, pieces: Sequence[NDArray[np.integer[Any]]], progress: Progress | None = None
) -> Scores:
    """Nats of every token: each piece cut into the codec's streams, and scored chunk by chunk in parallel."""
    window = artifact.network.window
    # Some streams at a time, one window deep: what a chunk computes then stays in a CPU's cache.
    together = max(1, artifact.config.eval.chunk_tokens // window)
    groups: list[list[ScoredChunk]] = []
    total = sum(len(piece) for piece in pieces)
    with (progress or Silent()).task("evaluate", total, "tokens") as task:
        for tokens in pieces:
            streams = stream_count(len(tokens), artifact.config.eval.streams)
            tokens_ST = split_streams(tokens, streams, window)
            for first in range(0, streams, together):
                group_ST = tokens_ST[first : first + together]
                predictor = _predictor(artifact, len(group_ST))
                groups.append([])
                for at in range(0, tokens_ST.shape[1], window):
                    groups[-1].append(predictor.score(group_ST[:, at : at + window]))
                    task.advance(int((group_ST[:, at : at + window] != IGNORED).sum()))
    scores = _joined([_side_by_side(group) for group in groups])
    assert len(scores.tokens) == total, "every token is scored once"
    return scores


def score_windows(
    artifact: Artifact,
    pieces: Sequence[NDArray[np.integer[Any]]],
    stride: int,
    progress: Progress | None = None,
) -> Scores:
    """Nats of every token from windows that end every `stride` tokens, of which the last `stride` count.

    A window is as long as the evaluation's window (`eval.window`, or the training sequence) and lies within one
    piece, whose first window counts whole. Raises ConfigError for a stride of zero or above the window.
    """
    window = artifact.network.window
    length = artifact.config.eval.window or artifact.config.train.seq_len
    if not 0 < stride <= length:
        raise ConfigError(f"--stride {stride}: must lie between 1 and the window of {length} tokens.")
    total = sum(len(piece) for piece in pieces)
    batch = max(1, artifact.config.eval.chunk_tokens // length)
    padded_length = -(-length // window) * window
    spans: list[tuple[NDArray[np.integer[Any]], int]] = []  # the tokens of a window, and how many came before
    for piece in pieces:
        done = 0
        for start in (0, *range(stride, max(len(piece) - length, 0) + stride, stride)):
            inside = piece[start : start + length]
            spans.append((inside, max(0, done - start)))
            done = max(done, start + len(inside))
    scored: list[ScoredChunk] = []
    counted: list[NDArray[np.bool_]] = []
    with (progress or Silent()).task("evaluate", total, "tokens") as task:
        for i in range(0, len(spans), batch):
            group = spans[i : i + batch]
            tokens_ST = np.full((len(group), padded_length), IGNORED, np.int64)
            fresh_ST = np.zeros_like(tokens_ST, dtype=bool)
            for row, (inside, known) in enumerate(group):
                tokens_ST[row, : len(inside)] = inside
                fresh_ST[row, known : len(inside)] = True
            scored.append(_predictor(artifact, len(group)).score(tokens_ST))
            counted.append(fresh_ST)
            task.advance(int(fresh_ST.sum()))

    def pick(field_name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(p, field_name)[mask] for p, mask in zip(scored, counted, strict=True)])

    with_memory = scored[0].memory_ST is not None
    result = Scores(
        pick("tokens_ST").astype(np.int64), pick("blended_ST"), pick("network_ST"),
        pick("memory_ST") if with_memory else None,
        pick("matched_order_ST").astype(np.int8) if with_memory else None,
    )  # fmt: skip
    assert np.array_equal(result.tokens, np.concatenate(list(pieces))), (
        "every token is scored once, in its order"
    )
    return result


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


def _side_by_side(chunks: list[ScoredChunk]) -> Scores:
    """One group's chunks, which follow each other in time, as the tokens of its streams in the text's order."""
    known = np.concatenate([c.tokens_ST for c in chunks], axis=1)
    mask = known != IGNORED

    def join(parts: list[NDArray[Any]]) -> NDArray[Any]:
        whole: NDArray[Any] = np.concatenate(parts, axis=1)[mask]
        return whole

    memory = [c.memory_ST for c in chunks if c.memory_ST is not None]
    order = [c.matched_order_ST for c in chunks if c.matched_order_ST is not None]
    return Scores(
        known[mask], join([c.blended_ST for c in chunks]), join([c.network_ST for c in chunks]),
        join(memory) if memory else None, join(order) if order else None,
    )  # fmt: skip


def _joined(groups: list[Scores]) -> Scores:
    """Groups of streams, one after the other in the text."""
    memory = [g.memory for g in groups if g.memory is not None]
    order = [g.order for g in groups if g.order is not None]
    return Scores(
        np.concatenate([g.tokens for g in groups]), np.concatenate([g.blended for g in groups]),
        np.concatenate([g.network for g in groups]), np.concatenate(memory) if memory else None,
        np.concatenate(order) if order else None,
    )  # fmt: skip
