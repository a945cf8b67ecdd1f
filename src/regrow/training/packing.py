"""Packing: a trained network, its memory and the mixer become one artifact within the byte budget."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from regrow.artifact.artifact import pack_vector, pack_weights, save_artifact
from regrow.core.config.schema import Config, EvalConfig
from regrow.core.dist import ProcessGroup
from regrow.core.progress import Progress
from regrow.core.provenance import provenance
from regrow.core.results import Bpb, DataFigures, Result, Seconds
from regrow.core.run_folder import ARTIFACT
from regrow.data.dataset import Dataset
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.memory import Memory
from regrow.predict.evaluation import score_streams
from regrow.predict.exact.model import ExactModel
from regrow.predict.mixture import Mixture
from regrow.training.memory import TrainingMemory
from regrow.training.needs import MANIFEST_BYTES
from regrow.training.pack_best import keep_best
from regrow.training.pack_memory import stored_memory
from regrow.training.pruning_weights import beside_network


def pack(
    config: Config,
    data: Dataset,
    out: Path,
    network: Transformer,
    mixer: Mixer,
    memory: TrainingMemory | None,
    unquantized: float,
    progress: Progress,
) -> Result:
    """Write `out/artifact.safetensors`; returns a result with what is known so far (`unquantized`: the
    network's bits per byte before this, bytes, data)."""
    started = time.perf_counter()
    with progress.task("pack"):
        check_exact(config, network, mixer, data)
        bytes_left = bytes_for_memory(config, network, mixer, data)
        weights = None
        if memory is not None:
            weights = partial(beside_network, network, mixer, memory, config.train.seed)
        stored, digest = stored_memory(config, data, memory, bytes_left, weights, progress.log)
        ledger = save_artifact(
            out / ARTIFACT, config, data.tokenizer, network, stored, digest, mixer,
            memory.discounts if memory else None,
        )  # fmt: skip
    kept = None
    if memory is not None and config.pack.keep == "best":
        alone = _cap(config, config.pack.budget_bytes - len(data.tokenizer.to_bytes()) - MANIFEST_BYTES)
        kept = keep_best(out / ARTIFACT, ledger, config, data, network, memory, alone, progress)
        ledger = kept.ledger
    return Result(
        preset=config.preset, seed=config.train.seed, device=str(network.embedding.device),
        threads=torch.get_num_threads(), world_size=1, torch=str(torch.__version__),
        data=DataFigures(**data.counts),
        bytes={"total": ledger.total, "budget": config.pack.budget_bytes, **ledger.parts()},
        bpb=Bpb(neural_unquantized=unquantized),
        seconds=Seconds(pack=time.perf_counter() - started),
        steps=0, train_tokens_seen=0, kept=kept.part if kept else None, candidates=kept.bpb if kept else None,
        made=provenance(),
    )  # fmt: skip


def check_exact(config: Config, network: Transformer, mixer: Mixer, data: Dataset) -> None:
    """Refuse numbers that exact inference cannot hold, before they are packed. Raises ArtifactError naming the tensor.

    Bases other than Hadamard's are for comparison: they are evaluated in floats, and never coded with.
    """
    if config.model.base != "hadamard" and config.model.seeded != "none":
        return
    ExactModel.of(
        config, {"weights": pack_weights(network), "mixer": pack_vector(mixer)}, None, vocab_size=data.vocab_size,
        seed=config.train.seed, bos_id=data.tokenizer.bos_id, source="the trained network",
    )  # fmt: skip


def bytes_for_memory(config: Config, network: Transformer, mixer: Mixer, data: Dataset) -> int:
    """Bytes that the other parts leave of the budget, or `memory.cap_bytes` if that is less."""
    others = (
        len(pack_weights(network)) + len(pack_vector(mixer)) + len(data.tokenizer.to_bytes()) + MANIFEST_BYTES
    )
    return _cap(config, config.pack.budget_bytes - others)


def _cap(config: Config, bytes_left: int) -> int:
    return min(bytes_left, config.memory.cap_bytes) if config.memory.cap_bytes else bytes_left


def network_bpb(
    network: Transformer,
    data: Dataset,
    settings: EvalConfig,
    group: ProcessGroup | None = None,
    memory: Memory | None = None,
) -> float:
    """Bits per byte of the held-out text under the network alone, over the codec's streams, which the
    processes of `group` share; `memory` for a network that reads it."""
    mixture = Mixture(network, data.tokenizer.bos_id, memory)
    nats = score_streams(mixture, settings, [np.asarray(data.val_tokens)], group=group).network
    return float(nats.sum()) / math.log(2) / len(data.val_bytes)
