"""Bits per byte of held-out text: the mixture, the network alone, the memory alone.

The text is cut into the very streams, with the same cold starts, that the codec uses, so that an evaluated figure and a
proven one may be compared. Bits per byte = nats / ln 2 / len(raw bytes), the bytes counted before tokenising.

Legend: S streams, T tokens.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from regrow.artifact.artifact import Artifact
from regrow.core.config.schema import Config, EvalConfig
from regrow.core.dist import ProcessGroup
from regrow.core.errors import ConfigError, DataError, EnvironmentProblem
from regrow.core.progress import Progress, Silent
from regrow.core.results import Bpb, Seconds
from regrow.data.dataset import document_starts, read_text_argument
from regrow.data.tokenizer import Tokenizer
from regrow.network.compute import check_products, compute_dtype, keep_freed_pages
from regrow.predict.adaptive.predictor import Adaptation, adaptation_of, adaptive_predictor
from regrow.predict.lockstep import IGNORED, split_streams, stream_count
from regrow.predict.mixture import Mixture
from regrow.predict.predictor import Predictor, ScoredChunk, mixture_of
from regrow.predict.scattered import scattered_work

OfficialBpb: TypeAlias = Callable[[float, NDArray[np.integer[Any]], Tokenizer], float]
_CHUNK_OF_A_THREAD = 1024  # tokens that one thread scores at a time: what they need stays in a core's cache
_COSTS = 4  # figures per token: see `_costs`


@dataclass(frozen=True)
class EvalResult:
    """What `evaluate` measured: `bpb` by predictor, the artifact's `bytes` by component, `seconds` (load, eval)."""

    bpb: Bpb
    bytes: dict[str, int]
    seconds: Seconds
    tokens: int = 0
    raw_bytes: int = 0
    excerpt: list[TokenCost] = field(default_factory=list)
    documents: list[DocumentCost] = field(default_factory=list)  # empty where the text is one document


@dataclass(frozen=True)
class TokenCost:
    """One token of a scored excerpt: its bytes, its bits under mixture, network and memory, the order that matched."""

    token: int
    text: bytes
    mixture: float
    network: float
    memory: float | None
    order: int | None


@dataclass(frozen=True)
class DocumentCost:
    """One document of the text: its bytes, its bits under mixture, network and memory, its first words."""

    bytes: int
    mixture: float
    network: float | None
    memory: float | None
    begins: str


@dataclass(frozen=True)
class Scores:
    """Nats of every token of a text in its order, float64 [tokens], under the mixture and each part."""

    tokens: NDArray[np.int64]
    mixture: NDArray[np.float64]
    network: NDArray[np.float64]
    memory: NDArray[np.float64] | None
    order: NDArray[np.int8] | None


def evaluate(
    artifact: Path | str | Artifact,
    data: Path | str | bytes,
    *,
    stride: int | None = None,
    official: OfficialBpb | None = None,
    reset_at: bytes | None = None,
    adapt: bool | Sequence[str] = False,
    progress: Progress | None = None,
    group: ProcessGroup | None = None,
) -> EvalResult:
    """Score `data` (a data folder's held-out text, a file, or raw bytes) with an artifact.

    `stride`: None or 0 scores the streams as the proof codes them; N scores windows of the network's context,
    each window's last N tokens alone. `reset_at`: bytes that end a document; nothing of one document is known in
    the next. `adapt`: also by the adaptive predictor, in `bpb.ttt`, as [eval] of the artifact's config says, or with
    overrides of it such as ["eval.ttt=none"]; never in windows, and over the whole text as one. `official`: a second
    count of bytes, such as `regrow.challenge.official_bytes.official_bpb`: nats of all tokens, the tokens and the
    tokenizer to bits per byte. The processes of `group` share the work and all have the same result.

    Raises DataError for an empty text, ConfigError for settings that do not fit the text or the network.
    """
    keep_freed_pages()
    loaded = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
    raw = data if isinstance(data, bytes) else read_text_argument(data)
    source = "the text" if isinstance(data, bytes) else str(data)
    if not raw:
        raise DataError(f"{source}: is empty; bits per byte need at least one byte.")
    documents = documents_of(raw, reset_at, source)
    tokens = loaded.tokenizer.encode(raw)
    adaptation = None if adapt is False else adaptation_of(loaded.config, adapt)
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
    mixture = mixture_of(loaded, threads=torch.get_num_threads())
    shapes = [p.shape for p in mixture.network.parameters()]
    check_products(shapes, loaded.config.eval.chunk_tokens, compute_dtype(mixture.device), mixture.device)
    if step:
        scores = score_windows(mixture, loaded.config, pieces, step, progress, group)
    else:
        scores = score_streams(mixture, loaded.config.eval, pieces, progress, group)
    seconds = Seconds(load=loaded.load_seconds, eval=time.perf_counter() - started)
    to_bpb = 1 / math.log(2) / len(raw)
    memory = None if scores.memory is None else float(scores.memory.sum()) * to_bpb
    bpb = Bpb(
        neural=float(scores.network.sum()) * to_bpb if loaded.config.model.n_layer else None,
        memory=memory,
        blended=float(scores.mixture.sum()) * to_bpb,
        official_bytes=official(float(scores.mixture.sum()), scores.tokens, loaded.tokenizer)
        if official
        else None,
    )
    if adaptation is not None:
        started = time.perf_counter()
        adapted = score_adaptively(loaded, tokens, adaptation, progress)
        bpb.ttt = float(adapted.adapted.sum()) * to_bpb
        seconds.ttt = time.perf_counter() - started
    if not all(np.isfinite(found) for found in msgspec.structs.astuple(bpb) if found is not None):
        raise EnvironmentProblem(
            f"{source}: the cost of some of its tokens is no finite number, so nothing was measured; the arithmetic of "
            "this machine or the artifact's network is at fault: set OMP_NUM_THREADS=1, or train again."
        )
    parts = {**loaded.ledger.parts(), "total": loaded.ledger.total, "budget": loaded.config.pack.budget_bytes}
    if len(documents) > 1:
        starts = list(accumulate(map(len, documents[:-1]), initial=0))
    else:
        starts = [0] if isinstance(data, bytes) else document_starts(data, raw)
    costs = document_costs(raw, starts, scores, loaded.tokenizer) if len(starts) > 1 else []
    if not loaded.config.model.n_layer:
        costs = [replace(cost, network=None) for cost in costs]
    return EvalResult(bpb, parts, seconds, len(scores.tokens), len(raw), excerpt_of(loaded, scores), costs)


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
    """Nats of every token in the text's order, float64: under the adaptive predictor, and under network, memory and
    fixed mixer as the network stood then."""

    adapted: NDArray[np.float64]
    mixture: NDArray[np.float64]
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
    with (progress or Silent()).task("evaluate, adaptive", len(tokens), "tokens") as task:
        for at in range(0, tokens_ST.shape[1], window):
            chunks.append(predictor.score(tokens_ST[:, at : at + window]))
            task.advance(int((chunks[-1].tokens_ST != IGNORED).sum()))
    known_ST = np.concatenate([c.tokens_ST for c in chunks], axis=1) != IGNORED
    adapted_ST = np.concatenate([c.adapted_ST for c in chunks if c.adapted_ST is not None], axis=1)
    mixture_ST = np.concatenate([c.mixture_ST for c in chunks], axis=1)
    scores = AdaptiveScores(adapted_ST[known_ST], mixture_ST[known_ST], predictor.seconds)
    assert len(scores.adapted) == len(tokens), "every token is scored once"
    return scores


def score_streams(
    mixture: Mixture,
    settings: EvalConfig,
    pieces: Sequence[NDArray[np.integer[Any]]],
    progress: Progress | None = None,
    group: ProcessGroup | None = None,
) -> Scores:
    """Nats of every token: each piece cut into the codec's streams, and scored chunk by chunk in parallel."""
    window = mixture.network.window

    def cut(chunk_tokens: int) -> list[NDArray[np.int64]]:
        """Some streams at a time, one window deep: what a chunk computes then stays in a CPU's cache."""
        batch_size = max(1, chunk_tokens // window)
        streams = [split_streams(piece, stream_count(len(piece)), window) for piece in pieces]
        return [
            whole_ST[i : i + batch_size] for whole_ST in streams for i in range(0, len(whole_ST), batch_size)
        ]

    threads = torch.get_num_threads() if mixture.device.type == "cpu" else 1
    batches = cut(min(_CHUNK_OF_A_THREAD, settings.chunk_tokens))
    if threads == 1 or len(batches) < 2 * threads:
        threads, batches = 1, cut(settings.chunk_tokens)
    else:
        mixture = replace(mixture, threads=1)
    lengths = [int((batch_ST != IGNORED).sum()) for batch_ST in batches]
    lock = threading.Lock()
    with (progress or Silent()).task("evaluate", sum(lengths), "tokens") as task:

        def score(i: int) -> NDArray[np.float64]:
            predictor = _predictor(mixture, len(batches[i]))
            chunks = []
            for at in range(0, batches[i].shape[1], window):
                chunks.append(predictor.score(batches[i][:, at : at + window]))
                with lock:
                    task.advance(int((batches[i][:, at : at + window] != IGNORED).sum()))
            return np.concatenate([_costs(chunk) for chunk in chunks], axis=2)[:, batches[i] != IGNORED]

        costs = scattered_work(lengths, _COSTS, score, group, threads)
        return _scores(mixture, pieces, np.concatenate(costs, axis=1))


def score_windows(
    mixture: Mixture,
    config: Config,
    pieces: Sequence[NDArray[np.integer[Any]]],
    stride: int,
    progress: Progress | None = None,
    group: ProcessGroup | None = None,
) -> Scores:
    """Nats of every token from windows that end every `stride` tokens, of which the last `stride` count.

    A window is as long as the evaluation's window (`eval.window`, or the training sequence) and lies within one
    piece, whose first window counts whole. Raises ConfigError for a stride of zero or above the window.
    """
    window = mixture.network.window
    length = config.eval.window or config.train.seq_len
    if not 0 < stride <= length:
        raise ConfigError(f"--stride {stride}: must lie between 1 and the window of {length} tokens.")
    total = sum(len(piece) for piece in pieces)
    batch = max(1, config.eval.chunk_tokens // length)
    padded_length = -(-length // window) * window
    spans: list[tuple[NDArray[np.integer[Any]], int]] = []  # the tokens of a window, and how many came before
    for piece in pieces:
        done = 0
        for start in (0, *range(stride, max(len(piece) - length, 0) + stride, stride)):
            inside = piece[start : start + length]
            spans.append((inside, max(0, done - start)))
            done = max(done, start + len(inside))
    batches: list[tuple[NDArray[np.int64], NDArray[np.bool_]]] = []  # tokens, and which of them count
    for i in range(0, len(spans), batch):
        tokens_ST = np.full((len(spans[i : i + batch]), padded_length), IGNORED, np.int64)
        fresh_ST = np.zeros_like(tokens_ST, dtype=bool)
        for row, (inside, known) in enumerate(spans[i : i + batch]):
            tokens_ST[row, : len(inside)] = inside
            fresh_ST[row, known : len(inside)] = True
        batches.append((tokens_ST, fresh_ST))
    lengths = [int(fresh_ST.sum()) for _, fresh_ST in batches]
    with (progress or Silent()).task("evaluate", total, "tokens") as task:

        def score(i: int) -> NDArray[np.float64]:
            tokens_ST, fresh_ST = batches[i]
            costs = _costs(_predictor(mixture, len(tokens_ST)).score(tokens_ST))[:, fresh_ST]
            task.advance(lengths[i])
            return costs

        costs = scattered_work(lengths, _COSTS, score, group)
        return _scores(mixture, pieces, np.concatenate(costs, axis=1))


def excerpt_of(artifact: Artifact, scores: Scores, length: int = 400) -> list[TokenCost]:
    """An excerpt from the middle of a scored text, token by token, for the report."""
    middle = max(0, len(scores.tokens) // 2 - length // 2)
    table = artifact.tokenizer.token_bytes
    bits = 1 / math.log(2)
    return [
        TokenCost(
            int(scores.tokens[i]), table[int(scores.tokens[i])],
            float(scores.mixture[i]) * bits, float(scores.network[i]) * bits,
            None if scores.memory is None else float(scores.memory[i]) * bits,
            None if scores.order is None else int(scores.order[i]),
        )
        for i in range(middle, min(middle + length, len(scores.tokens)))
    ]  # fmt: skip


def document_costs(
    raw: bytes, starts: Sequence[int], scores: Scores, tokenizer: Tokenizer
) -> list[DocumentCost]:
    """What each document of `raw` cost; a token that two of them share is of the first. They sum to the whole text."""
    sizes_T = np.array([len(piece) for piece in tokenizer.token_bytes])[scores.tokens]
    of_T = np.searchsorted(starts, np.cumsum(sizes_T) - sizes_T, side="right") - 1
    mixture, network, memory = (
        None if nats is None else np.bincount(of_T, nats, len(starts)) / math.log(2)
        for nats in (scores.mixture, scores.network, scores.memory)
    )
    assert mixture is not None and network is not None
    return [
        DocumentCost(
            end - start, float(mixture[i]), float(network[i]), None if memory is None else float(memory[i]),
            _first_words(raw[start : min(end, start + 240)]),
        )
        for i, (start, end) in enumerate(pairwise([*starts, len(raw)]))
    ]  # fmt: skip


def _first_words(text: bytes, width: int = 60) -> str:
    words = " ".join(text.decode("utf-8", "replace").split())
    return words if len(words) <= width else (words[:width].rpartition(" ")[0] or words[:width]) + " …"


def _predictor(mixture: Mixture, streams: int) -> Predictor:
    return Predictor(mixture, streams=streams, dtype=compute_dtype(mixture.device))


def _costs(chunk: ScoredChunk) -> NDArray[np.float64]:
    """A chunk's figures [_COSTS, S, T]: mixture, network, memory, matched order."""
    nothing = np.zeros_like(chunk.mixture_ST)
    memory = nothing if chunk.memory_ST is None else chunk.memory_ST
    order = nothing if chunk.matched_order_ST is None else chunk.matched_order_ST
    return np.stack((chunk.mixture_ST, chunk.network_ST, memory, order.astype(np.float64)))


def _scores(
    mixture: Mixture, pieces: Sequence[NDArray[np.integer[Any]]], costs: NDArray[np.float64]
) -> Scores:
    with_memory = mixture.memory is not None and mixture.mixer is not None
    tokens = np.concatenate(list(pieces)).astype(np.int64)
    assert costs.shape[1] == len(tokens), "every token is scored once"
    return Scores(
        tokens, costs[0], costs[1],
        costs[2] if with_memory else None, costs[3].astype(np.int8) if with_memory else None,
    )  # fmt: skip
