"""The artifact: one file from which tokenizer, network, memory and mixer grow again.

`regrow.artifact.container` is the container, `docs/format.md` the format. Here the four payloads get their meaning:
`tokenizer` (the pieces), `weights` (int8 rows of adapters, embeddings and trained matrices; float16 vectors),
`memory` (the n-gram memory's stored form) and `mixer` (float32 gate). Bases are regrown from the seed and
checked against their hashes.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from regrow.artifact.hub import artifact_file, push, save_folder
from regrow.artifact.int_coder import decode_ints, encode_ints
from regrow.artifact.ledger import Ledger
from regrow.artifact.quantise_weights import quantize_rows
from regrow.artifact.stored import StoredArtifact, store_artifact
from regrow.artifact.weights import split_records
from regrow.core.config.schema import Config
from regrow.core.errors import ArtifactError
from regrow.data.tokenizer import Tokenizer
from regrow.network.bases import base_sha256
from regrow.network.lora import SeededLinear
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.memory import Memory
from regrow.ngram.model.kneser_ney import Discounts

if TYPE_CHECKING:
    from regrow.predict.predictor import Predictor


@dataclass
class Artifact:
    """A loaded artifact: the file as stored, and what is regrown from it in `load_seconds`."""

    stored: StoredArtifact
    network: Transformer
    memory: Memory | None
    mixer: Mixer
    load_seconds: float

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> Artifact:
        """Read, check and regrow everything. Raises ArtifactError naming what is wrong with the file."""
        started = time.perf_counter()
        stored = StoredArtifact.read(path)
        config = stored.config
        network = Transformer(config.model, stored.vocab_size, config.train.seq_len, stored.seed)
        for name, digest in base_hashes(network).items():
            if stored.manifest.get("bases", {}).get(name) != digest:
                raise ArtifactError(
                    f"{path}: base {name} does not regrow to the hash in the manifest; pack the run again."
                )
        load_weights(network, stored.payloads["weights"], str(path))
        mixer = Mixer(config.mixer, torch.Generator())
        load_vector(mixer, stored.payloads["mixer"], str(path))
        memory = stored.memory()
        elapsed = time.perf_counter() - started
        return cls(stored, network.to(device).eval(), memory, mixer.to(device).eval(), elapsed)

    @classmethod
    def from_pretrained(
        cls,
        place: Path | str,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        device: torch.device | str = "cpu",
    ) -> Artifact:
        """The artifact of a folder (a run's, or one that `save_pretrained` wrote) or of a repository OWNER/NAME on the
        Hugging Face hub, with its `revision` and `token`. Raises ArtifactError, or EnvironmentProblem when the hub
        cannot be asked."""
        return cls.load(artifact_file(place, revision=revision, token=token), device)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the file, a model card and the run's result.json into `folder`, as a repository of the hub holds them.
        Raises DataError for files of these names that hold something else."""
        save_folder(self.stored, folder)

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        message: str | None = None,
    ) -> str:
        """Upload the same to the repository OWNER/NAME, made if it is missing; a model card that it has stays as it is.
        Returns the commit's address. Raises EnvironmentProblem when the hub refuses or cannot be reached."""
        return push(self.stored, repository, private=private, token=token, message=message)

    @property
    def config(self) -> Config:
        """The run's config, as the manifest has it."""
        return self.stored.config

    @property
    def tokenizer(self) -> Tokenizer:
        """Bytes to tokens and back."""
        return self.stored.tokenizer

    @property
    def ledger(self) -> Ledger:
        """The file's size by component."""
        return self.stored.ledger

    @property
    def sha256(self) -> str:
        """What identifies the file."""
        return self.stored.sha256

    def predictor(self, batch: int, device: torch.device | str | None = None, **options: Any) -> Predictor:
        """A predictor over `batch` streams: `Predictor.of`, called by its short name."""
        from regrow.predict.predictor import Predictor  # the one call upwards

        return Predictor.of(self, batch, device, **options)


def save_artifact(
    path: Path,
    config: Config,
    tokenizer: Tokenizer,
    network: Transformer,
    memory: bytes,
    counts_sha256: str,
    mixer: Mixer,
    discounts: Sequence[Discounts] | None = None,
) -> Ledger:
    """Write the artifact at `path` if it keeps to `config.pack.budget_bytes`; returns the ledger.

    `memory` is the stored form (empty: no memory), `discounts` those of its model (None: estimated).
    Raises BudgetError before anything is written.
    """
    payloads = {
        "tokenizer": tokenizer.to_bytes(),
        "weights": pack_weights(network),
        "memory": memory,
        "mixer": pack_vector(mixer),
    }
    return store_artifact(
        path, config, payloads, vocab_size=tokenizer.vocab_size, bases=base_hashes(network),
        counts_sha256=counts_sha256, discounts=discounts,
    )  # fmt: skip


def pack_weights(network: Transformer) -> bytes:
    """Every trained parameter in name order, each record led by its length: matrices int8 by row, vectors float16."""
    records = []
    for _, p in sorted(network.named_parameters()):
        record = _pack_matrix(p) if is_matrix(p) else p.detach().to(torch.float16).cpu().numpy().tobytes()
        records.append(struct.pack("<I", len(record)) + record)
    return b"".join(records)


def load_weights(network: Transformer, payload: bytes, source: str) -> None:
    """The inverse of `pack_weights`, into a network of the same config. Raises ArtifactError for a payload
    that does not fit."""
    records = split_records(payload, source)
    parameters = sorted(network.named_parameters())
    if len(records) != len(parameters):
        raise ArtifactError(
            f"{source}: {len(records)} weights for a network of {len(parameters)}; pack the run again."
        )
    with torch.no_grad():
        for (name, p), record in zip(parameters, records, strict=True):
            value = _unpack_matrix(record, p) if is_matrix(p) else _floats(record, np.float16)
            if value is None or value.numel() != p.numel():
                raise ArtifactError(
                    f"{source}: weight {name} does not have the shape {tuple(p.shape)}; pack the run again."
                )
            p.copy_(value.view_as(p))


def base_hashes(network: Transformer) -> dict[str, str]:
    """SHA-256 of every regrown base, by the name of its layer."""
    layers = {name: m for name, m in network.named_modules() if isinstance(m, SeededLinear)}
    return {name: base_sha256(layer.base.detach().float().cpu()) for name, layer in layers.items()}


def pack_vector(module: nn.Module) -> bytes:
    """All parameters of a small module in name order, float32."""
    return b"".join(
        p.detach().float().cpu().numpy().astype("<f4").tobytes() for _, p in sorted(module.named_parameters())
    )


def load_vector(module: nn.Module, payload: bytes, source: str) -> None:
    """The inverse of `pack_vector`. Raises ArtifactError for a payload of another length."""
    parameters = [p for _, p in sorted(module.named_parameters())]
    flat = _floats(payload, np.float32)
    if flat is None or flat.numel() != sum(p.numel() for p in parameters):
        raise ArtifactError(f"{source}: the mixer does not fit its config; pack the run again.")
    with torch.no_grad():
        for p, piece in zip(parameters, flat.split_with_sizes([p.numel() for p in parameters]), strict=True):
            p.copy_(piece.view_as(p))


def is_matrix(p: Tensor) -> bool:
    return p.dim() == 2 and 1 not in p.shape


def _pack_matrix(p: Tensor) -> bytes:
    quantized = quantize_rows(p.detach().float().cpu())
    return np.asarray(quantized.scale, "<f2").tobytes() + encode_ints(np.asarray(quantized.q, np.int8))


def _unpack_matrix(record: bytes, p: Tensor) -> Tensor | None:
    rows = p.size(0)
    if len(record) < 2 * rows:
        return None
    scale = np.frombuffer(record[: 2 * rows], "<f2").astype(np.float32)
    q = decode_ints(record[2 * rows :])
    if q.shape != tuple(p.shape) or q.dtype != np.int8:
        return None
    return torch.from_numpy(q.astype(np.float32) * scale[:, None])


def _floats(record: bytes, dtype: type) -> Tensor | None:
    kind = np.dtype(dtype).newbyteorder("<")
    if len(record) % kind.itemsize:
        return None
    return torch.from_numpy(np.frombuffer(record, kind).astype(np.float32))
