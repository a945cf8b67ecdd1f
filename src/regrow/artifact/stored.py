"""An artifact's file as it is stored: config, tokenizer, payloads and their sizes, read and written without torch."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from regrow.artifact.container import read_artifact, write_artifact
from regrow.artifact.ledger import Ledger
from regrow.artifact.weights import weight_bytes
from regrow.core.config.load import config_from_dict
from regrow.core.config.schema import SIDE, Config, MixerConfig, ModelConfig
from regrow.core.errors import ArtifactError, NgramError
from regrow.core.run_folder import ARTIFACT
from regrow.data.tokenizer import Tokenizer
from regrow.ngram.counts.hashed_counts import HashedCounts
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.memory import Memory, model_of
from regrow.ngram.model.kneser_ney import Discounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store import table_form
from regrow.ngram.store.text_form import decode_tokens


@dataclass(frozen=True)
class StoredArtifact:
    """What a file holds. `sha256` identifies it; `source` names it in errors."""

    source: str
    config: Config
    manifest: dict[str, Any]
    tokenizer: Tokenizer
    payloads: dict[str, bytes]
    ledger: Ledger
    sha256: str

    @classmethod
    def read(cls, path: Path | str) -> StoredArtifact:
        """From a file, or from the folder of a run. Raises ArtifactError naming what is wrong with the file."""
        path = Path(path)
        if path.is_dir():
            path /= ARTIFACT
        if not path.exists():
            raise ArtifactError(f"{path}: there is no such file; give the path of an artifact.")
        file = read_artifact(path)
        manifest, payloads = file.manifest, file.payloads
        try:
            config = config_from_dict(manifest["config"], f"{path}: manifest")
            vocab_size = int(manifest["vocab_size"])
            int(manifest["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{path}: the manifest lacks or spoils {error}; pack the run again."
            ) from error
        weights = weight_bytes(payloads["weights"], config.model, vocab_size, str(path))
        ledger = Ledger.of(payloads, weights, file.size)
        tokenizer = Tokenizer.from_bytes(payloads["tokenizer"], str(path))
        return cls(str(path), config, manifest, tokenizer, payloads, ledger, file.sha256)

    @property
    def vocab_size(self) -> int:
        """Tokens, byte tokens and BOS included."""
        return int(self.manifest["vocab_size"])

    @property
    def seed(self) -> int:
        """What the frozen bases are regenerated from."""
        return int(self.manifest["seed"])

    def memory(self) -> Memory | None:
        """Regrow the memory from its stored form, which its first bytes name: decode the table, or decode the text,
        count it and estimate with the manifest's discounts; or unpack the hashed tables. None without a memory.

        Raises NgramError for damage, and for a table of another vocabulary or longest order.
        """
        payload, settings, bos_id = self.payloads["memory"], self.config.memory, self.tokenizer.bos_id
        if not payload:
            return None
        if settings.kind == "hashed":
            hashed = HashedCounts.from_bytes(payload)
            hashed.check(self.vocab_size, settings.max_order, settings.buckets)
            return model_of(hashed)
        if payload[:4] == table_form.MAGIC:
            model = table_form.decode_table(payload)
            if (model.vocab_size, model.max_order) != (self.vocab_size, settings.max_order):
                raise NgramError(
                    f"{self.source}: the memory has {model.vocab_size} tokens and order {model.max_order}, the "
                    f"artifact {self.vocab_size} and {settings.max_order}; pack the run again."
                )
            return model
        counts = NgramCounts(self.vocab_size, settings.max_order, bos_id=bos_id)
        counts.add(decode_tokens(payload))
        discounts = [tuple(d) for d in self.manifest.get("discounts", ())]
        return NgramModel.from_counts(counts, discounts=discounts or None)


def store_artifact(
    path: Path,
    config: Config,
    payloads: dict[str, bytes],
    *,
    vocab_size: int,
    bases: Mapping[str, str],
    counts_sha256: str,
    discounts: Sequence[Discounts] | None,
) -> Ledger:
    """Write payloads and their manifest at `path`, unless they exceed `config.pack.budget_bytes`: BudgetError."""
    manifest = {
        "config": msgspec.to_builtins(config),
        "seed": config.train.seed,
        "vocab_size": vocab_size,
        "bases": bases,
        "counts_sha256": counts_sha256,
        "discounts": [list(of_order) for of_order in discounts or ()],
    }
    size = write_artifact(path, payloads, manifest, dry_run=True)
    sizes = weight_bytes(payloads["weights"], config.model, vocab_size, str(path))
    ledger = Ledger.of(payloads, sizes, size)
    ledger.check(config.pack.budget_bytes)
    write_artifact(path, payloads, manifest)
    return ledger


def memory_alone(config: Config) -> Config:
    """`config` for an artifact without a network: no layers, and the mixer's exponents fixed."""
    model = ModelConfig(n_layer=0, d_model=SIDE, n_head=1, n_kv_head=1, window=config.model.window)
    return msgspec.structs.replace(config, model=model, mixer=MixerConfig(kind="fixed"))


def store_memory(
    path: Path,
    config: Config,
    tokenizer: Tokenizer,
    memory: bytes,
    counts_sha256: str,
    discounts: Sequence[Discounts] | None = None,
) -> Ledger:
    """Write an artifact that predicts with the memory alone, in its stored form, within the budget of `config`, of
    which `memory_alone` is kept."""
    payloads = {
        "tokenizer": tokenizer.to_bytes(),
        "weights": b"",
        "memory": memory,
        "mixer": struct.pack("<2f", 0.0, 1.0),  # the exponents of network and memory
    }
    return store_artifact(
        path, memory_alone(config), payloads, vocab_size=tokenizer.vocab_size, bases={}, counts_sha256=counts_sha256,
        discounts=discounts,
    )  # fmt: skip
