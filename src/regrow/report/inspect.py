"""`regrow inspect`: what an artifact is made of, without regrowing its memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from regrow.artifact.artifact import base_hashes, ledger_of, weight_owners
from regrow.artifact.container import read_artifact
from regrow.core.config.load import config_from_dict
from regrow.core.errors import ArtifactError, ConfigError
from regrow.network.hadamard import derive_seed
from regrow.network.lora import SeededLinear
from regrow.network.transformer import Transformer


def describe(artifact: Path) -> dict[str, Any]:
    """Every byte of `artifact` and its owner, then the config, the seeds and the hashes, as plain values.

    Keys: `artifact` (path), `format_version`, `sha256` of the file, `counts_sha256` of the memory (empty
    without one), `total`, `budget` and `ledger` (owner -> bytes, sums to total), `payloads` (name -> bytes,
    sha256), `seeds` (`root`, and what each part's seed derives to), `bases` (layer -> shape, bytes it would
    take as float32, sha256), `config`.

    The bases are regrown, so their hashes are those of this machine; raises ArtifactError if one is not the
    manifest's, or if the file is damaged, foreign or of another format version.
    """
    artifact = Path(artifact)
    file = read_artifact(artifact)
    manifest = file.manifest
    try:
        config = config_from_dict(manifest["config"], f"{artifact}: manifest")
        vocab_size, root = int(manifest["vocab_size"]), int(manifest["seed"])
        network = Transformer(config.model, vocab_size, config.train.seq_len, root)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{artifact}: the manifest lacks or spoils {error}; pack the run again."
        ) from error
    except ConfigError as error:
        raise ArtifactError(str(error)) from error
    hashes, stated = base_hashes(network), manifest.get("bases")
    for name, digest in hashes.items():
        if not isinstance(stated, dict) or stated.get(name) != digest:
            raise ArtifactError(
                f"{artifact}: base {name} does not regrow to the hash in the manifest; pack the run again."
            )
    try:
        owners = weight_owners(network, file.payloads["weights"])
    except (ValueError, ArtifactError) as error:
        raise ArtifactError(
            f"{artifact}: the weights do not fit the config in the manifest ({error}); pack the run again."
        ) from error
    ledger = ledger_of(file.payloads, owners, file.size)
    layers = {name: m for name, m in network.named_modules() if isinstance(m, SeededLinear)}
    return {
        "artifact": str(artifact),
        "format_version": manifest["format_version"],
        "sha256": file.sha256,
        "counts_sha256": str(manifest.get("counts_sha256", "")),
        "total": ledger.total,
        "budget": config.pack.budget_bytes,
        "ledger": ledger.parts(),
        "payloads": {
            name: {"bytes": len(payload), "sha256": manifest["sha256"][name]}
            for name, payload in sorted(file.payloads.items())
        },
        "seeds": {
            "root": root,
            "embedding": derive_seed(root, "embedding"),
            **{name: layer.seed for name, layer in layers.items()},
        },
        "bases": {
            name: {
                "shape": f"{layer.out_features} x {layer.in_features}",
                "bytes_if_stored": 4 * layer.out_features * layer.in_features,
                "sha256": hashes[name],
            }
            for name, layer in layers.items()
        },
        "config": msgspec.to_builtins(config),
    }
