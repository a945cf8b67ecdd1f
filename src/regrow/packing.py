"""Packing: a trained network, its memory and the mixer become one artifact within the byte budget."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from regrow.artifact import is_matrix, save_artifact
from regrow.compute import compute_dtype
from regrow.config import Config
from regrow.data import Dataset
from regrow.dist import ProcessGroup
from regrow.errors import BudgetError, ConfigError, NgramError
from regrow.mixer import Mixer
from regrow.model import Transformer
from regrow.ngram import NgramCounts, NgramModel, text_bits
from regrow.ngram.fitting import fit_table
from regrow.ngram.grams import grams_of
from regrow.ngram.kinds import hashed_counts
from regrow.ngram.table_form import decode_table
from regrow.ngram.text_form import encode_tokens
from regrow.predictor import IGNORED, split_streams, stream_count
from regrow.progress import Progress
from regrow.results import Bpb, DataFigures, Result, Seconds
from regrow.teacher import Teacher
from regrow.worth import beside_network

_MANIFEST_BYTES = 6000
_MATRIX_BYTES = 0.9  # entropy-coded int8, bytes an entry: what weights trained here came to, rounded up
_SHRINK = 0.97  # a text too long for its room is cut to fit in proportion, and a little more
_TRIES = 4
_JUDGED = 200_000  # tokens of left-out text that the two forms are judged on
# Seconds to load a memory on two cores (dev/LOG.md, 2026-11-24): each token of a text, each n-gram of a table.
_TEXT_LOAD = 1.7e-6
_TABLE_LOAD = 0.6e-6
Tokens = NDArray[np.integer[Any]]


def check_budget(config: Config, network: Transformer, data: Dataset) -> None:
    """Refuse a budget that cannot hold even the network, before training. Raises ConfigError saying what
    takes the bytes."""
    matrices = {name: p.numel() for name, p in network.named_parameters() if is_matrix(p)}
    adapters = round(_MATRIX_BYTES * sum(n for name, n in matrices.items() if "lora" in name))
    embeddings = round(_MATRIX_BYTES * matrices.get("embedding", 0))
    others = round(_MATRIX_BYTES * sum(matrices.values())) - adapters - embeddings
    tokenizer = len(data.tokenizer.to_bytes())
    needed = adapters + embeddings + others + tokenizer + _MANIFEST_BYTES
    if needed > config.pack.budget_bytes:
        raise ConfigError(
            f"pack.budget_bytes = {config.pack.budget_bytes:,}: is too small for this network, which needs "
            f"about {needed:,} (adapters {adapters:,}, embeddings {embeddings:,}, trained matrices {others:,}, "
            f"tokenizer {tokenizer:,}, manifest {_MANIFEST_BYTES:,}); raise it or lower model.d_model, "
            "model.n_layer or model.r."
        )


def pack(
    config: Config,
    data: Dataset,
    out: Path,
    network: Transformer,
    mixer: Mixer,
    teacher: Teacher | None,
    unquantized: float,
    progress: Progress,
) -> Result:
    """Write `out/artifact.safetensors`; returns a result with what is known so far (`unquantized`: the
    network's bits per byte before this, bytes, data)."""
    started = time.perf_counter()
    with progress.task("pack"):
        room = room_for_memory(config, network, mixer, data)
        stored, digest = stored_memory(config, data, teacher, room, network, mixer)
        ledger = save_artifact(
            out / "artifact.safetensors", config, data.tokenizer, network.cpu(), stored, digest, mixer.cpu(),
            teacher.discounts if teacher else None,
        )  # fmt: skip
    return Result(
        preset=config.preset, seed=config.train.seed, device=str(network.embedding.device),
        threads=torch.get_num_threads(), world_size=1, torch=str(torch.__version__),
        data=DataFigures(**data.counts),
        bytes={"total": ledger.total, "budget": config.pack.budget_bytes, **ledger.parts()},
        bpb=Bpb(neural_unquantized=unquantized),
        seconds=Seconds(pack=time.perf_counter() - started),
        steps=0, train_tokens_seen=0,
    )  # fmt: skip


def stored_memory(
    config: Config, data: Dataset, teacher: Teacher | None, room: int, network: Transformer, mixer: Mixer
) -> tuple[bytes, str]:
    """The memory's stored form within `room` bytes, and the SHA-256 of its counts. Empty where there is no memory.

    `memory.stored = "auto"`: the whole text if it fits and loads in time, for nothing can hold more than that; else the
    form that predicts better text left out of its counts (the last twentieth), of those that load in
    `pack.load_seconds`. A text that does not fit is cut at its end, a table is pruned by what its n-grams are worth
    beside the network. The hash is of the counts before any pruning.
    Raises BudgetError if nothing worth storing fits.
    """
    if teacher is None:
        return b"", ""
    hashed = hashed_counts(teacher.counts)
    if hashed is not None:
        stored = hashed.to_bytes()
        if len(stored) > room:
            raise BudgetError(
                f"pack.budget_bytes = {config.pack.budget_bytes:,}: leaves {room:,} bytes for the memory, and its "
                f"hashed tables take {len(stored):,}; raise it or lower memory.buckets."
            )
        return stored, hashed.sha256()
    form = config.memory.stored
    tokens = np.asarray(data.train_tokens) if config.memory.fill == "ahead" else teacher.seen_text()
    text = fit_text(tokens, data, room) if form != "table" else None
    if form == "auto":
        in_time = _in_time(config, len(text[1]) * _TEXT_LOAD if text is not None else math.inf)
        if text is None:
            form = "table"
        elif len(text[1]) == len(tokens) and in_time:
            form = "text"
        else:
            form = _better_form(config, data, teacher, tokens, len(text[1]), room, in_time)
    if form == "table":
        counts = _counts_of(config, data, tokens) if config.memory.fill != "ahead" else teacher.counts
        try:
            model = NgramModel.from_counts(counts, discounts=teacher.discounts)
            grams = grams_of(counts)
            worth = beside_network(network, mixer, teacher, grams, model.discounts, config.train.seed)
            return fit_table(grams, model.discounts, room, adjust=worth), counts.sha256()
        except NgramError as error:
            raise _no_room(config, room) from error
    if text is None:
        raise _no_room(config, room)
    stored, kept = text
    cut = len(kept) < len(tokens) or config.memory.fill != "ahead"
    return stored, (_counts_of(config, data, kept) if cut else teacher.counts).sha256()


def fit_text(tokens: Tokens, data: Dataset, room: int) -> tuple[bytes, Tokens] | None:
    """The text form of as many of the first tokens as fit into `room` bytes, and those; None if hardly any do."""
    whole = len(tokens)
    for _ in range(_TRIES):
        stored = encode_tokens(
            tokens.astype(np.uint16, copy=False), data.vocab_size, data.tokenizer.token_bytes
        )
        if len(stored) <= room:
            return stored, tokens
        tokens = tokens[: int(len(tokens) * room / len(stored) * _SHRINK)]
        if len(tokens) < whole // 100:
            break
    return None


def _better_form(
    config: Config,
    data: Dataset,
    teacher: Teacher,
    tokens: Tokens,
    fits: int,
    room: int,
    text_in_time: bool,
) -> Literal["table", "text"]:
    """Which form, made of all but the last twentieth, predicts that in fewer bits; `fits`: tokens the text can hold."""
    split = len(tokens) * 19 // 20
    heads = np.flatnonzero(tokens[split:] == data.tokenizer.bos_id)
    split += int(heads[0]) if len(heads) else 0
    rest = tokens[split : split + _JUDGED]
    counts = _counts_of(config, data, tokens[:split])
    model = NgramModel.from_counts(counts, discounts=teacher.discounts)
    grams = grams_of(counts)
    try:
        table = decode_table(fit_table(grams, model.discounts, room))
    except NgramError:
        return "text"
    table_in_time = _in_time(config, len(table.trie.succ_token_E) * _TABLE_LOAD)
    if table_in_time != text_in_time:
        return "table" if table_in_time else "text"
    text = NgramModel.from_counts(
        _counts_of(config, data, tokens[: min(fits, split)]), discounts=teacher.discounts
    )
    bos = data.tokenizer.bos_id
    return "table" if text_bits(table, rest, bos) < text_bits(text, rest, bos) else "text"


def _counts_of(config: Config, data: Dataset, tokens: Tokens) -> NgramCounts:
    counts = NgramCounts(data.vocab_size, config.memory.max_order, bos_id=data.tokenizer.bos_id)
    counts.add(tokens)
    return counts


def _in_time(config: Config, seconds: float) -> bool:
    return not config.pack.load_seconds or seconds <= config.pack.load_seconds


def _no_room(config: Config, room: int) -> BudgetError:
    return BudgetError(
        f"pack.budget_bytes = {config.pack.budget_bytes:,}: leaves {room:,} bytes for the memory, too few to store."
    )


def room_for_memory(config: Config, network: Transformer, mixer: Mixer, data: Dataset) -> int:
    """Bytes that the other parts leave of the budget, or `memory.cap_bytes` if that is less."""
    from regrow.artifact import pack_vector, pack_weights

    others = (
        len(pack_weights(network))
        + len(pack_vector(mixer))
        + len(data.tokenizer.to_bytes())
        + _MANIFEST_BYTES
    )
    room = config.pack.budget_bytes - others
    return min(room, config.memory.cap_bytes) if config.memory.cap_bytes else room


@torch.inference_mode()
def network_bpb(
    network: Transformer,
    data: Dataset,
    most_streams: int,
    chunk_tokens: int = 8192,
    group: ProcessGroup | None = None,
) -> float:
    """Bits per byte of the held-out text under the network alone, over the codec's streams, which the
    processes of `group` share."""
    rank, world_size = (group.rank, group.world_size) if group else (0, 1)
    window, device = network.window, network.embedding.device
    tokens: NDArray[np.int64] = np.asarray(data.val_tokens, np.int64)
    tokens_ST = split_streams(tokens, stream_count(len(tokens), most_streams), window)
    weights = network.weights(compute_dtype(device))
    together = max(1, chunk_tokens // window)
    nats = 0.0
    for first in range(rank * together, len(tokens_ST), world_size * together):
        group_ST = tokens_ST[first : first + together]
        cache = network.new_cache(len(group_ST), weights[0].qkv.dtype)
        fresh = np.full((len(group_ST), 1), data.tokenizer.bos_id, np.int64)
        for at in range(0, group_ST.shape[1], window):
            targets_ST = group_ST[:, at : at + window]
            known_ST = np.where(targets_ST == IGNORED, data.tokenizer.bos_id, targets_ST)
            inputs = torch.from_numpy(np.concatenate((fresh, known_ST[:, :-1]), axis=1)).to(device)
            fresh = known_ST[:, -1:]
            logits = network.logits(network.chunk(inputs, weights, cache)).flatten(0, 1)
            targets = torch.from_numpy(targets_ST.reshape(-1)).to(device)
            nats += float(
                F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none").double().sum()
            )
    if group:
        (nats,) = group.sums([nats])
    return nats / math.log(2) / len(data.val_bytes)
