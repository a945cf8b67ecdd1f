"""What an artifact keeps, `pack.keep = "best"`: network and memory, or the better of them alone, by held-out text.

On a short text the mixer learns from few batches, and an overfitted network may cost more bits than it saves. Without a
network the memory has the whole budget.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from regrow.artifact.artifact import save_artifact
from regrow.artifact.ledger import Ledger
from regrow.artifact.stored import store_memory
from regrow.core.config.schema import Config, MemoryConfig, MixerConfig
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.predict.evaluation import evaluate
from regrow.training.memory import TrainingMemory
from regrow.training.pack_memory import stored_memory


class Kept(NamedTuple):
    """Which part was kept, held-out bits per byte of each of them alone and of the mixture, and the artifact's size."""

    part: str
    bpb: dict[str, float]
    ledger: Ledger


def keep_best(
    path: Path,
    ledger: Ledger,
    config: Config,
    data: Dataset,
    network: Transformer,
    memory: TrainingMemory,
    bytes_alone: int,
    progress: Progress,
) -> Kept:
    """Replace the artifact of the mixture at `path`, of this `ledger`, where the memory in `bytes_alone` bytes or the
    network alone predicts the held-out text in no more bits. Of equals the memory is kept, then the network."""
    mixed = evaluate(path, data.val_bytes, progress=progress).bpb
    assert mixed.blended is not None and mixed.neural is not None
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "memory.safetensors"
        stored, digest = stored_memory(config, data, memory, bytes_alone)
        sizes = store_memory(alone, config, data.tokenizer, stored, digest, memory.discounts)
        of_memory = evaluate(alone, data.val_bytes, progress=progress).bpb.memory
    assert of_memory is not None
    bpb = {"memory": of_memory, "network": mixed.neural, "mixture": mixed.blended}
    if network.memory_input:
        del bpb["network"]  # it reads the memory: there is no network alone
    part = min(bpb, key=bpb.__getitem__)
    if part == "memory":
        ledger = store_memory(path, config, data.tokenizer, stored, digest, memory.discounts)
        assert ledger.total == sizes.total
    elif part == "network":
        none = MemoryConfig(kind="none"), MixerConfig(kind="none")
        config = msgspec.structs.replace(config, memory=none[0], mixer=none[1])
        mixer = Mixer(config.mixer, torch.Generator())
        ledger = save_artifact(path, config, data.tokenizer, network, b"", "", mixer)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in bpb.items())
    progress.log(f"kept the {part}: bits per byte of held-out text {figures}")
    return Kept(part, bpb, ledger)
